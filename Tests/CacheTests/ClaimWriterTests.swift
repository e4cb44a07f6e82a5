import Foundation
import Testing

@testable import Cache

extension SampleCache {
    /// Does what an extraction does: claims what is missing, and completes the cache if it can.
    ///
    /// - Returns: Whether the cache is complete.
    @discardableResult
    func work(in directory: URL, worker: CacheWorker?) throws -> Bool {
        let writer = try CacheWriter(
            directory: directory,
            description: description,
            plannedShards: shardSizes.count,
            worker: worker
        )
        defer { writer.removeDeadClaims() }
        try writer.note(counts: counts)
        if let claim = try writer.claimTeacher() {
            defer { claim.release() }
            try writer.writeTeacher(tables)
        }
        for shard in shardSizes.indices {
            guard let claim = try writer.claimShard(shard) else { continue }
            defer { claim.release() }
            try write(shard: shard, to: writer)
        }
        try writer.refresh()
        let missing = writer.missing
        guard missing.shards.isEmpty, !missing.teacher else { return false }
        try writer.finish(counts: counts)
        return true
    }

    var counts: [String: Int] { ["written": shardSizes.reduce(0, +), "cut": 1] }
}

/// `contents` without the workers' journals, whose names are random.
func dataContents(of directory: URL) throws -> [String: Data] {
    try contents(of: directory).filter { !$0.key.hasPrefix("journal-") }
}

@Suite("Claims of a cache")
struct ClaimWriterTests {
    private let sample = SampleCache(shardSizes: [3, 4, 2])
    private static let workers = (0..<3).compactMap { CacheWorker(index: $0, count: 3) }

    @Test("of two workers' different bytes for one shard the manifest lists those that are there")
    func twins() throws {
        let scratch = try Scratch()
        let writers = try Self.workers.prefix(2).map {
            try CacheWriter(
                directory: scratch.url,
                description: sample.description,
                plannedShards: 3,
                worker: $0
            )
        }
        for shard in 0..<3 { try sample.write(shard: shard, to: writers[0]) }
        try writers[0].writeTeacher(sample.tables)
        // The other one rounds otherwise, and its file comes last.
        let late = try writers[1].beginShard(1, expectedRecords: 4)
        for var record in sample.records(ofShard: 1) {
            if !record.hidden.isEmpty { record.hidden[0] += 1 }
            try late.append(record)
        }
        _ = try late.finish()
        try writers[0].finish(counts: sample.counts)
        #expect(try CacheVerifier().verify(scratch.url).problems.map(\.file) == [])
    }

    /// Where a kill can strike.
    enum Moment: CaseIterable {
        case folderMade, journalMade, claimMade, claimEmptyAndOld, shardHalfWritten, shardNamed
        case shardEntered, lineHalfWritten, teacherHalfWritten, allDone, readmeWritten
    }

    /// Leaves what a worker that was killed at `moment` leaves.
    private func kill(at moment: Moment, in cache: URL, whole: URL) throws {
        let files = FileManager.default
        let shards = cache.appendingPathComponent("shards")
        try files.createDirectory(at: shards, withIntermediateDirectories: true)
        if moment == .folderMade { return }
        let journal = cache.appendingPathComponent(CacheJournal.fileName)
        try Data().write(to: journal)
        if moment == .journalMade { return }
        let worker = Self.workers[1]
        let writer = try CacheWriter(
            directory: cache,
            description: sample.description,
            plannedShards: 3,
            worker: worker
        )
        try writer.note(counts: sample.counts)
        try sample.write(shard: 0, to: writer)
        if moment == .claimEmptyAndOld {
            return try leaveClaim("shard-1", [], in: cache, age: 700)
        }
        let isTeachers = moment == .teacherHalfWritten
        let dead = try canonicalJSON(try deadOwner(), lines: false)
        try leaveClaim(isTeachers ? "teacher" : "shard-1", dead, in: cache)
        switch moment {
        case .claimMade, .folderMade, .journalMade, .claimEmptyAndOld: break
        case .shardHalfWritten:
            try Data("half".utf8).write(to: shards.appendingPathComponent(".00001.h5.77.tmp"))
        case .teacherHalfWritten:
            try Data("half".utf8).write(to: cache.appendingPathComponent(".teacher.h5.77.tmp"))
        case .shardNamed:
            try files.copyItem(
                at: whole.appendingPathComponent("shards/00001.h5"),
                to: shards.appendingPathComponent("00001.h5")
            )
        case .shardEntered:
            try sample.write(shard: 1, to: writer)
        case .lineHalfWritten:
            let name = try #require(CacheJournals.names(in: cache).last)
            let handle = try FileHandle(forWritingTo: cache.appendingPathComponent(name))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(#"{"shard":{"fi"#.utf8))
            try handle.close()
        case .allDone, .readmeWritten:
            try sample.write(shard: 1, to: writer)
            try sample.write(shard: 2, to: writer)
            try writer.writeTeacher(sample.tables)
            if moment == .allDone { return }
            try files.copyItem(
                at: whole.appendingPathComponent("README.md"),
                to: cache.appendingPathComponent("README.md")
            )
            try Data("{".utf8).write(to: cache.appendingPathComponent(".manifest.json.77.tmp"))
        }
    }

    @Test(
        "whatever a killed worker leaves, a run or another worker completes it",
        arguments: Moment.allCases,
        [nil, workers[0], workers[1]]
    )
    func killed(moment: Moment, worker: CacheWorker?) throws {
        let whole = try Scratch()
        try sample.write(to: whole.url)
        let scratch = try Scratch()
        let cache = scratch.url.appendingPathComponent("cache")
        try kill(at: moment, in: cache, whole: whole.url)
        #expect(try sample.work(in: cache, worker: worker))
        #expect(try dataContents(of: cache) == contents(of: whole.url))
        #expect(try CacheVerifier().verify(cache).problems.isEmpty)
        // And once more, which changes nothing.
        #expect(try sample.work(in: cache, worker: nil))
        #expect(try dataContents(of: cache) == contents(of: whole.url))
    }

    @Test("a live worker's shard is left to it, and a run without --worker is refused meanwhile")
    func live() throws {
        let scratch = try Scratch()
        let first = try CacheWriter(
            directory: scratch.url,
            description: sample.description,
            plannedShards: 3,
            worker: Self.workers[0]
        )
        let claim = try #require(try first.claimShard(1))
        let refused = #expect(throws: CacheError.self) { try sample.writer(scratch.url) }
        #expect(refused?.message == "another process is writing this cache")
        #expect(try !sample.work(in: scratch.url, worker: Self.workers[1]))
        try first.refresh()
        #expect(first.completedShards == [0, 2] && first.hasTeacher)
        try sample.write(shard: 1, to: first)
        claim.release()
        try first.finish(counts: sample.counts)
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
    }

    @Test("a worker is refused while a run without --worker writes")
    func alone() throws {
        let scratch = try Scratch()
        let run = try sample.writer(scratch.url)
        let refused = #expect(throws: CacheError.self) {
            try sample.work(in: scratch.url, worker: Self.workers[0])
        }
        #expect(refused?.kind == .io)
        #expect(run.completedShards.isEmpty)
    }

    @Test("without locks, the claims of a machine that lives keep a run out, with its name")
    func claimsAlone() throws {
        let scratch = try Scratch()
        var owner = ShardClaimOwner.current(worker: CacheWorker(index: 5, count: 6))
        (owner.host, owner.boot) = ("node7", "another start")
        try leaveClaim("shard-1", try canonicalJSON(owner, lines: false), in: scratch.url)
        let refused = #expect(throws: CacheError.self) { try sample.writer(scratch.url) }
        #expect(refused?.description.contains("worker 5 of 6 (host node7") == true)
        try leaveClaim("shard-1", try canonicalJSON(owner, lines: false), in: scratch.url, age: 601)
        #expect(try sample.work(in: scratch.url, worker: nil))
    }

    @Test("two that write the same shard, and two that complete, leave the same bytes as one")
    func together() throws {
        let whole = try Scratch()
        try sample.write(to: whole.url)
        let expected = try contents(of: whole.url)
        for _ in 0..<10 {
            let scratch = try Scratch()
            let url = scratch.url
            // Both there before either finishes anything, as after a takeover from a slow holder.
            nonisolated(unsafe) let writers = try Self.workers.map {
                try CacheWriter(
                    directory: url,
                    description: sample.description,
                    plannedShards: 3,
                    worker: $0
                )
            }
            let failures = onThreads(2) { number in
                let writer = writers[number]
                for shard in sample.shardSizes.indices {
                    try sample.write(shard: shard, to: writer)
                }
                try writer.writeTeacher(sample.tables)
                try writer.finish(counts: sample.counts)
            }
            #expect(failures.isEmpty, "\(failures)")
            #expect(try dataContents(of: url) == expected)
            #expect(try CacheVerifier().verify(url).problems.isEmpty)
        }
    }

    @Test("a damaged shard is found by the worker it is dealt to, and made again")
    func damaged() throws {
        let scratch = try Scratch()
        #expect(try sample.work(in: scratch.url, worker: Self.workers[0]))
        let before = try dataContents(of: scratch.url)
        let shard = scratch.url.appendingPathComponent("shards/00001.h5")
        var bytes = try Data(contentsOf: shard)
        bytes[bytes.count / 2] ^= 4
        try bytes.write(to: shard)
        #expect(try sample.work(in: scratch.url, worker: Self.workers[1]))
        #expect(try dataContents(of: scratch.url) == before)
    }

    @Test("a worker with other settings is refused by name")
    func mismatch() throws {
        let scratch = try Scratch()
        try sample.work(in: scratch.url, worker: Self.workers[0])
        var other = sample
        other.topK = 6
        let refused = #expect(throws: CacheError.self) {
            try other.work(in: scratch.url, worker: Self.workers[1])
        }
        #expect(refused?.kind == .mismatch && refused?.message.contains("topK: 6 here") == true)
    }

    /// Runs `body` on threads and collects what they throw.
    private func onThreads(
        _ count: Int,
        _ body: @Sendable (Int) throws -> Void
    ) -> [String] {
        let lock = NSLock()
        nonisolated(unsafe) var failures: [String] = []
        DispatchQueue.concurrentPerform(iterations: count) { number in
            do { try body(number) } catch {
                lock.withLock { failures.append("\(error)") }
            }
        }
        return failures
    }
}
