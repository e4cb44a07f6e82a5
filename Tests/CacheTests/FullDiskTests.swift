import Foundation
import Testing

@testable import Cache

/// A small file system in memory; needs root.
///
/// Nil where it cannot be mounted.
private final class SmallDisk {
    let url: URL

    init?(kibibytes: Int) {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-disk-\(UUID().uuidString)"
        )
        guard geteuid() == 0,
            (try? FileManager.default.createDirectory(
                at: url,
                withIntermediateDirectories: true
            )) != nil,
            Self.run("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "tmpfs", url.path)
        else { return nil }
    }

    func grow(kibibytes: Int) -> Bool {
        Self.run("mount", "-o", "remount,size=\(kibibytes)k", url.path)
    }

    deinit {
        _ = Self.run("umount", url.path)
        try? FileManager.default.removeItem(at: url)
    }

    static let isAvailable: Bool = SmallDisk(kibibytes: 64) != nil

    private static func run(_ command: String, _ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command] + arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

@Suite("Full disk", .serialized)
struct FullDiskTests {
    @Test(
        "a full disk stops the writer, keeps what is finished, and the same run goes on later",
        .enabled(if: SmallDisk.isAvailable),
        arguments: Array(stride(from: 4, through: 180, by: 8))
    )
    func fullDisk(kibibytes: Int) throws {
        let sample = SampleCache(shardSizes: [6, 6, 6], width: 300)
        let whole = try Scratch()
        try sample.write(to: whole.url)
        let disk = try #require(SmallDisk(kibibytes: kibibytes))
        let cache = disk.url.appendingPathComponent("cache")
        do {
            try sample.write(to: cache)
            #expect(kibibytes > 100, "everything fitted on a very small disk")
        } catch let error as CacheError {
            // A directory that cannot even be made says so in Foundation's words.
            #expect(error.kind == .diskFull || error.kind == .io, "\(error)")
            #expect(error.path.hasPrefix(cache.path))
            if error.kind == .diskFull { #expect(error.message.contains("bytes are needed")) }
            let left = (try? FileManager.default.subpathsOfDirectory(atPath: cache.path)) ?? []
            #expect(!left.contains { $0.hasSuffix(DurableFile.temporarySuffix) })
        }
        #expect(disk.grow(kibibytes: 4096))
        try sample.write(to: cache)
        #expect(try contents(of: cache) == contents(of: whole.url))
        #expect(try CacheVerifier().verify(cache).isWhole)
    }

    @Test("a device that is always full is reported as a full disk")
    func devFull() throws {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let error = try #require(throws: CacheError.self) {
            try DurableFile.writeAll([1, 2, 3], to: descriptor, path: "shards/00007.h5")
        }
        #expect(error.kind == .diskFull)
        #expect(error.description.contains("shards/00007.h5"))
        #expect(error.message.contains("3 bytes are needed"))
    }
}
