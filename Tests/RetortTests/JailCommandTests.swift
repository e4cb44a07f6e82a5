import Foundation
import TestSupport
import Testing

@testable import Cache

/// The command, which reads file structure in a jailed process, on caches of strangers.
@Suite("Caches of strangers", .serialized)
struct JailCommandTests {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("CacheTests/Fixtures")

    private static func names(_ prefix: String) -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: fixtures.path)
        return (names ?? []).filter { $0.hasPrefix(prefix) && $0.hasSuffix(".h5") }.sorted()
    }

    /// A whole cache whose manifest lists the right hashes of another shard 0, as a stranger's can.
    private func cache(shard name: String, in folder: URL) throws -> URL {
        let directory = folder.appendingPathComponent("cache")
        try FileManager.default.copyItem(
            at: Self.fixtures.appendingPathComponent("versions/version1"),
            to: directory
        )
        let bytes = try Data(contentsOf: Self.fixtures.appendingPathComponent(name))
        try bytes.write(to: directory.appendingPathComponent("shards/00000.h5"))
        var manifest = try CacheManifest.read(directory)
        manifest.shards[0].file.bytes = bytes.count
        manifest.shards[0].file.sha256 = sha256(of: bytes)
        manifest.shards[0].file.structureSHA256 = sha256(of: bytes)
        manifest.shards[0].file.dataRanges = []
        try Data(try manifest.encoded()).write(
            to: directory.appendingPathComponent(CacheManifest.fileName)
        )
        return directory
    }

    @Test("a good cache reads the same in the jail and without")
    func good() throws {
        try withFolder { folder in
            let cache = Self.fixtures.appendingPathComponent("versions/version2").path
            let arguments = ["cache", "inspect", cache, "--json"]
            let jailed = try RetortProcess.run(arguments, in: folder)
            let bare = try RetortProcess.run(
                arguments,
                in: folder,
                environment: ["RETORT_NO_SANDBOX": "1"]
            )
            #expect(jailed.code == 0 && bare.code == 0, "\(jailed.errors) \(bare.errors)")
            // A note on the cache's tokenizer, which is none, has a temporary name.
            func lines(_ text: String) -> [Substring] {
                text.split(separator: "\n").filter { !$0.contains("retort-tokenizer-") }
            }
            #expect(lines(jailed.output) == lines(bare.output) && lines(bare.output).count > 100)
        }
    }

    @Test("a hostile shard is refused by name", arguments: names("hostile_"))
    func hostile(name: String) throws {
        try withFolder { folder in
            let cache = try cache(shard: name, in: folder)
            let result = try RetortProcess.run(["cache", "inspect", cache.path], in: folder)
            #expect(result.code == 65, "\(result.errors)")
            #expect(result.errors.contains("\(cache.path)/shards/00000.h5: "), "\(result.errors)")
            #expect(!result.errors.contains("crashed"), "\(result.errors)")
        }
    }

    @Test("a shard that crashes HDF5 is refused by name", arguments: names("crash_"))
    func crash(name: String) throws {
        try withFolder { folder in
            let cache = try cache(shard: name, in: folder)
            let result = try RetortProcess.run(["cache", "inspect", cache.path], in: folder)
            #expect(result.code == 65, "\(result.errors)")
            // What a wild pointer does depends on what lies there: words or a crash, but of the jail.
            #expect(result.errors.contains("\(cache.path)/shards/00000.h5: "), "\(result.errors)")
            if name == "crash_3.h5" { #expect(result.errors.contains("HDF5 crashed")) }
        }
    }

    @Test("there are fixtures of both kinds")
    func fixtures() {
        #expect(Self.names("hostile_").count == 19 && Self.names("crash_").count == 3)
    }

    @Test("the jailed process opens nothing, connects nowhere, signals and starts nobody")
    func probe() throws {
        try withFolder { folder in
            let result = try RetortProcess.run(["__probe-jail"], in: folder)
            #expect(result.code == 0, "\(result.errors)")
            let numbers = result.output.split { !$0.isNumber }.compactMap { UInt32($0) }
            try #require(numbers.count == 3, "\(result.output)")
            // What this system lacks cannot be tested here.
            if numbers[0] & 2 != 0 { #expect(numbers[1] == 0) }
            if numbers[0] & 1 != 0 { #expect(numbers[2] & 0xFF == 0) }
        }
    }
}
