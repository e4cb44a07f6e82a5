import Foundation
import Testing

@testable import Tokenizers

@Suite("Steps and scores that are wrong")
struct HostileStepTests {
    private func load(
        _ key: String = "normalizer",
        _ value: String = "null",
        model: String = #"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}"#
    ) throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write("{\"\(key)\": \(value), \"model\": \(model)}", to: "tokenizer.json")
        return try Tokenizer(directory: folder.url)
    }

    /// A table of one unit after its size, and a text.
    private func table(_ units: [UInt32], size: UInt32? = nil, text: String = "x\0") -> String {
        var bytes: [UInt8] = []
        for word in [size ?? UInt32(units.count * 4)] + units {
            bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
        }
        return
            #"{"type": "Precompiled", "precompiled_charsmap": "\#(Base64.encode(bytes + Array(text.utf8)))"}"#
    }

    @Test(
        "wrong steps throw",
        arguments: [
            ("normalizer", "3"), ("normalizer", "[]"), ("normalizer", "{}"),
            ("normalizer", #"{"type": "Sequence"}"#),
            ("normalizer", #"{"type": "Sequence", "normalizers": {}}"#),
            ("normalizer", #"{"type": "Sequence", "normalizers": [null, 3]}"#),
            ("normalizer", #"{"type": "Prepend", "prepend": 3}"#),
            ("normalizer", #"{"type": "Strip", "strip_left": 1}"#),
            ("normalizer", #"{"type": "Replace", "pattern": "a", "content": "b"}"#),
            ("normalizer", #"{"type": "Replace", "pattern": {"String": ""}, "content": "b"}"#),
            ("normalizer", #"{"type": "Replace", "pattern": {"Regex": "("}, "content": "b"}"#),
            ("normalizer", #"{"type": "Precompiled", "precompiled_charsmap": "@@@"}"#),
            ("normalizer", #"{"type": "Precompiled", "precompiled_charsmap": "AAA="}"#),
            ("normalizer", #"{"type": "Precompiled", "precompiled_charsmap": "/////w=="}"#),
            ("pre_tokenizer", #"{"type": "Metaspace"}"#),
            ("pre_tokenizer", #"{"type": "Metaspace", "replacement": "ab"}"#),
            ("pre_tokenizer", #"{"type": "Metaspace", "replacement": ""}"#),
            ("pre_tokenizer", #"{"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"}"#),
            (
                "pre_tokenizer",
                #"{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "add_prefix_space": false}"#
            ),
            ("decoder", #"{"type": "Strip", "content": " ", "start": 1e99, "stop": 0}"#),
            ("decoder", #"{"type": "Strip", "content": " ", "start": -1, "stop": 0}"#),
            (
                "decoder",
                #"{"type": "Strip", "content": " ", "start": 9223372036854775807, "stop": 0}"#
            ),
            (
                "post_processor",
                #"{"type": "RobertaProcessing", "cls": ["a", 99], "sep": ["b", 1]}"#
            ),
            ("post_processor", #"{"type": "RobertaProcessing", "cls": ["a"], "sep": ["b", 1]}"#),
        ]
    )
    func wrong(key: String, value: String) {
        #expect(throws: TokenizerError.self) { try load(key, value) }
    }

    @Test("sequences nest to the reader's depth and hold at most 32 steps")
    func sequences() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: #"{"type": "Sequence", "normalizers": ["#, count: depth)
                + #"{"type": "NFC"}"# + String(repeating: "]}", count: depth)
        }
        #expect(try load("normalizer", nested(20)).encode("ab") == [0, 1])
        #expect(throws: TokenizerError.self) { try load("normalizer", nested(5_000)) }
        let many = Array(repeating: #"{"type": "NFC"}"#, count: 33).joined(separator: ",")
        #expect(throws: TokenizerError.self) {
            try load("normalizer", #"{"type": "Sequence", "normalizers": [\#(many)]}"#)
        }
    }

    @Test("a table of replacements that points anywhere is no harm")
    func tables() throws {
        var state: UInt64 = 5
        for _ in 0..<300 {
            let units = (0..<64).map { _ -> UInt32 in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt32(truncatingIfNeeded: state >> 29)
            }
            let tokenizer = try load("normalizer", table(units))
            _ = try tokenizer.encode("ab \u{301}é漢字 the river 👍🏽")
        }
        for size: UInt32 in [0, 3, 8, .max, 1 << 31] {
            #expect(throws: TokenizerError.self) {
                try load("normalizer", table([0], size: size, text: ""))
            }
        }
    }

    @Test(
        "wrong Unigram vocabularies throw",
        arguments: [
            #"[]"#, #"{}"#, #"[["a", "b"]]"#, #"[["a"]]"#, #"[["a", null]]"#, #"[["a", NaN]]"#,
            #"[["a", 1e999]]"#, #"[["a", -1], ["a", -2]]"#, #"[["", -1]]"#, "3", #"[[1, 2]]"#,
        ]
    )
    func unigram(vocabulary: String) {
        let model = #"{"type": "Unigram", "unk_id": 0, "vocab": \#(vocabulary)}"#
        #expect(throws: TokenizerError.self) { try load(model: model) }
    }

    @Test("an unknown character without an unknown token is an error, and a wrong unk_id too")
    func unknown() throws {
        let model = #"{"type": "Unigram", "vocab": [["a", -1]]}"#
        #expect(try load(model: model).encode("aa") == [0, 0])
        #expect(throws: TokenizerError.self) { try load(model: model).encode("ab") }
        for id in ["1", "-1", "1e40", "\"a\"", "99999999999"] {
            #expect(throws: TokenizerError.self) {
                try load(model: #"{"type": "Unigram", "unk_id": \#(id), "vocab": [["a", -1]]}"#)
            }
        }
    }

    @Test(
        "patterns that backtrack without end give up",
        arguments: ["normalizer", "pre_tokenizer"]
    )
    func backtracking(key: String) throws {
        let step =
            key == "normalizer"
            ? #"{"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}"#
            : #"{"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Removed"}"#
        let tokenizer = try load(key, step)
        #expect(throws: TokenizerError.self) {
            try tokenizer.encode(String(repeating: "a", count: 5_000) + "!")
        }
    }

    @Test("a pattern that reads to the end from every place gives up")
    func quadratic() throws {
        let step =
            #"{"type": "Split", "pattern": {"Regex": "(?=[a-z]*[0-9!])[a-z][a-z!]"}, "behavior": "Removed"}"#
        let tokenizer = try load("pre_tokenizer", step)
        #expect(throws: TokenizerError.self) {
            try tokenizer.encode(String(repeating: "a", count: 1_000_000))
        }
        // Where a match is far away, but each place is done with at once, it is found.
        let far = String(repeating: "é", count: 200_000) + "b!" + "a"
        #expect(try tokenizer.encode(far) == [0])
    }
}
