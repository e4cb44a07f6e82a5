import Foundation
import TestSupport
import Testing

@testable import Cache

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
