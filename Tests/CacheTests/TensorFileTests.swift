import Foundation
import Testing

@testable import Cache

/// The files of reference/tensor_files.py.
enum TensorFixtures {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Fixtures/tensors")

    static func names(_ prefix: String) -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: directory.path)
        return (names ?? []).filter { $0.hasPrefix(prefix) && $0.hasSuffix(".h5") }.sorted()
    }

    static func url(_ name: String) -> URL { directory.appendingPathComponent(name) }

    static let texts = [
        "a", "", "Ġthe", "日本語", "two words ", "👩‍👩‍👧‍👦", String(repeating: "x", count: 300),
    ]
}

@Suite("Files of plain arrays")
struct TensorFileTests {
    private func floats(_ count: Int) -> [Float] { (0..<count).map { Float($0) * 0.5 - 3 } }

    @Test(
        "what h5py writes by itself is read, by old and new versions of the format",
        arguments: ["good.h5", "good_v110.h5"]
    )
    func values(name: String) throws {
        let file = try TensorFile(TensorFixtures.url(name))
        let hidden = try file.floats("student/hidden")
        #expect(hidden.values == floats(15) && hidden.shape == [5, 3])
        #expect(try file.floats("same").values == floats(15))
        #expect(file.shape(of: "student/hidden") == [5, 3] && file.shape(of: "gone") == nil)
        let labels = try file.integers("student/labels")
        #expect(labels.values == [-3, -2, -1, 0, 1, 2, 3] && labels.shape == [7])
        let weight = try file.floats("projectors/t2s/0/weight")
        #expect(weight.values == floats(8) && weight.shape == [2, 4])
        let scalar = try file.floats("scalar")
        #expect(scalar.values == [0.5] && scalar.shape == [])
        #expect(try file.integers("count").values == [12])
        #expect(try file.floats("count").values == [12])
        let none = try file.floats("none")
        #expect(none.values.isEmpty && none.shape == [0, 4])
        #expect(try file.floats("compact").values == floats(4))
    }

    @Test("every type of numbers is read", arguments: ["good.h5", "good_v110.h5"])
    func types(name: String) throws {
        let file = try TensorFile(TensorFixtures.url(name))
        #expect(try file.floats("types/f2").values == floats(9))
        for type in ["i1", "i2", "i4", "i8"] {
            #expect(try file.integers("types/\(type)").values == Array(-3..<6))
            #expect(try file.floats("types/\(type)").values == (-3..<6).map { Float($0) })
        }
        for type in ["u1", "u2", "u4", "u8"] {
            #expect(try file.integers("types/\(type)").values == Array(0..<9))
            #expect(try file.floats("types/\(type)").values == (0..<9).map { Float($0) })
        }
    }

    @Test(
        "texts are read, from the heap and of fixed length",
        arguments: ["good.h5", "good_v110.h5"]
    )
    func texts(name: String) throws {
        let file = try TensorFile(TensorFixtures.url(name))
        let texts = try file.strings("vocabulary/student")
        #expect(texts.values == TensorFixtures.texts && texts.shape == [7])
        #expect(try file.strings("packed/texts").values == TensorFixtures.texts)
        #expect(try file.strings("vocabulary/fixed").values == Array(TensorFixtures.texts[..<5]))
        let one = try file.strings("vocabulary/one")
        #expect(one.values == ["just this"] && one.shape == [])
    }

    @Test("chunks of any shape and of the known filters are read")
    func chunks() throws {
        for name in ["good.h5", "good_v110.h5"] {
            let file = try TensorFile(TensorFixtures.url(name))
            for array in ["plain", "gzip", "shuffled", "lz4", "bits"] {
                let found = try file.floats("packed/\(array)")
                #expect(
                    found.values == floats(1050) && found.shape == [50, 21],
                    "\(name) \(array)"
                )
            }
            #expect(try file.floats("packed/row").values == floats(1050))
            #expect(try file.integers("packed/grows").values == Array(-3..<3))
            // Packed chunks that are larger than their values.
            let noise = Float(bitPattern: 0x413B_9F12)
            #expect(try file.floats("packed/noise").values == [Float](repeating: noise, count: 6))
        }
    }

    @Test("a wrong name or type is an error that names file, array and remedy")
    func misuse() throws {
        let file = try TensorFile(TensorFixtures.url("good.h5"))
        func message(_ body: () throws -> Void) throws -> String {
            let error = try #require(throws: CacheError.self) { try body() }
            #expect(error.kind == .corrupt && error.path == file.path)
            return error.description
        }
        #expect(try message { _ = try file.floats("student/hiden") }.contains("no 'student/hiden'"))
        #expect(
            try message { _ = try file.floats("student/hiden") }.contains("It has compact, count")
        )
        let floats = try message { _ = try file.integers("student/hidden") }
        #expect(floats.contains("'student/hidden' is of float32") && floats.contains("int64"))
        #expect(try message { _ = try file.floats("vocabulary/student") }.contains("holds texts"))
        #expect(try message { _ = try file.integers("vocabulary/one") }.contains("holds texts"))
        #expect(try message { _ = try file.strings("scalar") }.contains("holds numbers"))
        let gone = try #require(throws: CacheError.self) {
            try TensorFile(TensorFixtures.url("gone.h5"))
        }
        #expect(gone.kind == .missing)
        let directory = try #require(throws: CacheError.self) {
            try TensorFile(TensorFixtures.directory)
        }
        #expect(directory.message.contains("not a regular file"))
    }

    /// What is said of each bad file.
    static let faults = [
        "big_endian": "big-endian", "bomb": "more than 64 times the bytes", "bool": "bool",
        "committed_type": "neither a group nor an array", "complex": "compound",
        "compound": "compound", "cycle": "nesting", "deep": "nesting", "dot_name": "odd name",
        "empty": "no HDF5 file",
        "external_link": "external link", "external_storage": "external storage",
        "fletcher": "filters of 'x' (3)", "heap": "texts of 'x'", "huge_chunk": "chunk shape",
        "huge_extent": "extent", "lists": "different lengths", "long_text": "5000 bytes",
        "lzf": "filters of 'x' (32000)", "many_links": "65 links",
        "missing_chunks": "1 of 4 chunks", "null_space": "rank", "odd_name": "odd name",
        "packed": "chunk 0 of 'x' does not unpack", "rank": "rank of 'x' (3)",
        "reference": "references", "region_reference": "references",
        "soft_link": "soft or external",
        "text": "no HDF5 file", "truncated": "open", "unknown_filter": "32099",
        "unwritten": "never written", "user_block": "user block",
        "utf8": "text 1 of 'x' is not UTF-8", "virtual": "virtual dataset",
    ]

    @Test("what is not read is refused by name", arguments: TensorFixtures.names("bad_"))
    func bad(name: String) throws {
        let fault = try #require(Self.faults[String(name.dropFirst(4).dropLast(3))])
        let error = try #require(throws: CacheError.self) {
            let file = try TensorFile(TensorFixtures.url(name))
            // The fault of two of them lies in the values.
            _ = name == "bad_utf8.h5" ? try file.strings("x").shape : try file.floats("x").shape
        }
        #expect(error.kind == .corrupt && error.path == TensorFixtures.url(name).path)
        #expect(error.message.contains(fault), "\(error)")
        #expect(!error.remedy.contains("cache repair") && !error.remedy.isEmpty)
    }

    @Test("there are fixtures of both kinds")
    func fixtures() {
        #expect(TensorFixtures.names("bad_").count == Self.faults.count)
        #expect(TensorFixtures.names("good").count == 2)
    }

    @Test("a cache does not take such files: its own rules are unchanged")
    func shards() throws {
        for name in TensorFixtures.names("") {
            let error = try #require(throws: CacheError.self) {
                _ = try VerifiedFile(TensorFixtures.url(name), entry: nil).list(limit: 1 << 30)
            }
            #expect(error.kind == .corrupt, "\(error)")
        }
    }
}
