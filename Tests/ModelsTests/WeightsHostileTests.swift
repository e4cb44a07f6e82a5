import Foundation
import Testing

@testable import Models

/// Files from strangers: each must be refused with a `ModelError`, or be a valid file, and never end
/// the process.
@Suite("Hostile weight files")
struct WeightsHostileTests {
    private func open(_ path: URL) throws -> any WeightSource {
        path.pathExtension == "gguf"
            ? try GGUFFile(path: path.path) : try SafetensorsFile(path: path.path)
    }

    @Test(
        "a file cut at any length is refused with its path",
        arguments: ["quants.gguf", "plain.safetensors"]
    )
    func truncated(name: String) throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: weightFixture(name)))
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent(name)
            // GGUF pads the last tensor: a file without the padding is still whole.
            let lengths = (0..<50).map { whole.count * $0 / 50 } + [1, 7, 8, 9, 23, 24, 25]
            for length in lengths {
                try replace(path, with: whole.prefix(length))
                let error = try #require(try readAll { try open(path) }, "\(length) bytes")
                #expect(error.kind == .corrupt && error.path == path.path)
                #expect(!error.remedy.isEmpty)
            }
        }
    }

    @Test(
        "2,000 heads with 8 random bytes each are refused or read, never a crash",
        arguments: [
            "quants.gguf", "plain.safetensors",
        ]
    )
    func corrupted(name: String) throws {
        let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: weightFixture(name))))
        let head = name.hasSuffix("gguf") ? 2_200 : 700
        var generator = SeededGenerator(state: 11)
        var refused = 0
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent(name)
            for _ in 0..<2_000 {
                var damaged = whole
                let start = Int.random(in: 0..<(head - 8), using: &generator)
                for at in start..<(start + 8) {
                    damaged[at] = UInt8.random(in: 0...255, using: &generator)
                }
                try replace(path, with: Data(damaged))
                if let error = try readAll({ try open(path) }) {
                    refused += 1
                    #expect(error.path == path.path)
                }
            }
        }
        #expect(refused > 500)
    }

    @Test("safetensors headers that break the rules are refused", arguments: hostileHeaders)
    func header(_ sample: HostileHeader) throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("bad.safetensors")
            try safetensors(sample.header, data: sample.data).write(to: path)
            let error = try #require(throws: ModelError.self) {
                try SafetensorsFile(path: path.path)
            }
            #expect(error.kind == sample.kind)
            #expect(error.message.contains(sample.says), "\(error)")
        }
    }

    @Test(
        "impossible header lengths are refused",
        arguments: [
            1 << 63, UInt64.max, 1 << 62, 100_000_001, 99_999_999,
        ]
    )
    func headerLength(_ length: UInt64) throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("bad.safetensors")
            try Data(bytes(length) + Array("{\"a\":1}".utf8)).write(to: path)
            let error = #expect(throws: ModelError.self) { try SafetensorsFile(path: path.path) }
            #expect(error?.kind == .corrupt)
        }
    }

    @Test("deep nesting in an index is refused")
    func nesting() throws {
        try withScratchDirectory { folder in
            let deep = String(repeating: "[", count: 200_000)
            try Data("{\"metadata\":\(deep)".utf8)
                .write(to: folder.appendingPathComponent("model.safetensors.index.json"))
            let error = #expect(throws: ModelError.self) {
                try SafetensorsDirectory(path: folder.path)
            }
            #expect(error?.message.contains("nested too deeply") == true)
        }
    }

    @Test(
        "what is no weight file at all is recognised",
        arguments: [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
            ("<!DOCTYPE html><html><body>404</body></html>", "web page"),
            ("", "empty"),
        ]
    )
    func otherFiles(content: String, hint: String) throws {
        try withScratchDirectory { folder in
            for name in ["a.gguf", "a.safetensors"] {
                let path = folder.appendingPathComponent(name)
                try Data(content.utf8).write(to: path)
                let error = #expect(throws: ModelError.self) { try open(path) }
                #expect(error?.kind == .corrupt)
                #expect(error?.remedy.contains(hint) == true)
            }
            let folderError = #expect(throws: ModelError.self) { try GGUFFile(path: folder.path) }
            #expect(folderError?.kind == .io)
            let absent = folder.appendingPathComponent("none.gguf")
            let missing = #expect(throws: ModelError.self) { try GGUFFile(path: absent.path) }
            #expect(missing?.kind == .missing)
        }
    }

    @Test("a file that shrinks while it is open is reported")
    func shrinking() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("plain.safetensors")
            try FileManager.default.copyItem(
                atPath: weightFixture("plain.safetensors"),
                toPath: path.path
            )
            let file = try SafetensorsFile(path: path.path)
            #expect(truncate(path.path, 900) == 0)
            let error = #expect(throws: ModelError.self) { try allFloats(file, "f32") }
            #expect(error?.kind == .io)
        }
    }
}

/// A header, bytes of data after it, and what its refusal must say.
struct HostileHeader: Sendable, CustomTestStringConvertible {
    let header: String
    let data: Int
    let says: String
    let kind: ModelError.Kind
    var testDescription: String { "\(says): \(header.prefix(60))" }

    init(_ header: String, _ data: Int, _ says: String, _ kind: ModelError.Kind = .corrupt) {
        self.header = header
        self.data = data
        self.says = says
        self.kind = kind
    }
}

private func tensor(_ name: String, _ begin: Int, _ end: Int, shape: String = "[2]") -> String {
    "\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
}

private let hostileHeaders: [HostileHeader] = [
    .init("{\(tensor("a", 0, 8)),\(tensor("b", 4, 12))}", 12, "overlapping"),
    .init("{\(tensor("a", 0, 8)),\(tensor("b", 12, 20))}", 20, "a hole"),
    .init("{\(tensor("a", 4, 12))}", 12, "a hole"),
    .init("{\(tensor("a", 0, 8)),\(tensor("b", 8, 16))}", 17, "after the last tensor"),
    .init("{\(tensor("a", 0, 8)),\(tensor("b", 8, 16))}", 15, "the file ends before"),
    .init("{}", 4, "after the last tensor"),
    .init("{\(tensor("a", 0, 8)),\(tensor("a", 8, 16))}", 16, "duplicate key"),
    .init("{\(tensor("a", 0, 8)),\(tensor("\\u0061", 8, 16))}", 16, "duplicate key"),
    .init("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "duplicate key"),
    .init("{\"__metadata__\":{\"k\":1}}", 0, "expected a string"),
    .init("{\(tensor("a", 0, 8, shape: "[3]"))}", 8, "do not match"),
    .init("{\(tensor("a", 8, 0))}", 8, "a hole"),
    .init("{\(tensor("a", 0, 0)),\(tensor("b", 0, 8))}", 8, "do not match"),
    .init("{\(tensor("a", 0, 8, shape: "[-2]"))}", 8, "non-negative"),
    .init("{\(tensor("a", 0, 8, shape: "[2.0]"))}", 8, "expected an integer"),
    .init("{\(tensor("a", 0, 8, shape: "[2e0]"))}", 8, "expected an integer"),
    .init("{\(tensor("a", 0, 8, shape: "[02]"))}", 8, "leading zeros"),
    .init("{\(tensor("a", 0, 8, shape: "[\"2\"]"))}", 8, "non-negative"),
    .init("{\(tensor("a", 0, 8, shape: "[18446744073709551616]"))}", 8, "too large"),
    .init(
        "{\(tensor("a", 0, 0, shape: "[4611686018427387904,4611686018427387904,0]"))}",
        0,
        "large"
    ),
    .init("{\(tensor("a", 0, 8, shape: "[4294967296,4294967296]"))}", 8, "too large"),
    .init(
        "{\"a\":{\"dtype\":\"F99\",\"shape\":[],\"data_offsets\":[0,4]}}",
        4,
        "F99",
        .unsupported
    ),
    .init(
        "{\"a\":{\"dtype\":\"Q8_0\",\"shape\":[32],\"data_offsets\":[0,34]}}",
        34,
        "Q8_0",
        .unsupported
    ),
    .init("{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "needs dtype"),
    .init("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,8]}}", 4, "data_offsets"),
    .init(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}",
        4,
        "unknown key"
    ),
    .init(" {}", 0, "does not begin"),
    .init("[1,2]     ", 0, "does not begin"),
    .init("{} {}", 0, "after the end"),
    .init("{\"a\":", 0, "expected '{'"),
    .init("{\"a\\", 0, "does not end"),
    .init("{\"a\u{1}\":", 0, "control character"),
    .init("{\"\\ud800\":", 0, "bad escape"),
    .init("{" + String(repeating: "\"a\":{", count: 100_000), 0, "unknown key"),
]
