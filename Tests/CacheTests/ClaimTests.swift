import Foundation
import Synchronization
import Testing

@testable import Cache

/// The claim that a process would leave; by default one of this machine that has ended.
func deadOwner() throws -> ShardClaimOwner {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/true")
    try process.run()
    process.waitUntilExit()
    var owner = ShardClaimOwner.current(worker: CacheWorker(index: 1, count: 2))
    owner.pid = process.processIdentifier
    return owner
}

/// Puts a claim's file where it belongs, touched `age` seconds ago.
func leaveClaim(_ name: String, _ bytes: [UInt8], in cache: URL, age: Int = 0) throws {
    let folder = cache.appendingPathComponent(ShardClaims.folder)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let url = folder.appendingPathComponent("\(name).claim")
    try Data(bytes).write(to: url)
    try setAge(url, age)
}

private func setAge(_ url: URL, _ age: Int) throws {
    let time = timeval(tv_sec: time(nil) - age, tv_usec: 0)
    try #require(utimes(url.path, [time, time]) == 0)
}

@Suite("Claims")
struct ClaimTests {
    private func elsewhere() -> ShardClaimOwner {
        var owner = ShardClaimOwner.current(worker: CacheWorker(index: 1, count: 2))
        (owner.host, owner.boot) = ("another", "another start")
        return owner
    }

    @Test("one of two has a claim, and the other when it is given back")
    func exclusive() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        let first = try #require(try claims.take("shard-1"))
        #expect(first.isHeld)
        #expect(try claims.take("shard-1") == nil)
        let other = try #require(try claims.take("shard-2"))
        #expect(try claims.live().map(\.name) == ["shard-1", "shard-2"])
        first.release()
        let second = try #require(try claims.take("shard-1"))
        #expect(second.isHeld && !first.isHeld)
        first.release()
        #expect(second.isHeld, "a second release changes nothing")
        second.release()
        other.release()
        try claims.clean()
        #expect(!FileManager.default.fileExists(atPath: claims.directory.path))
    }

    @Test("a process of this machine that is gone, or whose number is another's now, holds nothing")
    func deadProcess() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        var reused = ShardClaimOwner.current(worker: nil)
        reused.processStart = "1"
        for (number, owner) in [try deadOwner(), reused].enumerated() {
            let name = "shard-\(number)"
            try leaveClaim(name, try canonicalJSON(owner, lines: false), in: scratch.url)
            #expect(try claims.live().isEmpty)
            let claim = try #require(try claims.take(name))
            #expect(claim.isHeld)
        }
        // The same numbers in another container, or of another start, say nothing about this one.
        var foreign = try deadOwner()
        foreign.processes = "pid:[1]"
        try leaveClaim("shard-7", try canonicalJSON(foreign, lines: false), in: scratch.url)
        #expect(try claims.take("shard-7") == nil)
    }

    @Test("a claim of another machine lasts until it was not touched for the time set")
    func otherMachine() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        let text = try canonicalJSON(elsewhere(), lines: false)
        // Also what cannot be read, as after a kill where there are no hard links.
        for (name, bytes) in [("shard-1", text), ("shard-2", []), ("teacher", Array("?".utf8))] {
            try leaveClaim(name, bytes, in: scratch.url, age: 500)
            #expect(try claims.take(name) == nil)
            #expect(try claims.look(name)?.age ?? 0 >= 500)
            try leaveClaim(name, bytes, in: scratch.url, age: 700)
            #expect(try claims.take(name) != nil)
        }
        // A clock that was ahead.
        try leaveClaim("shard-3", text, in: scratch.url, age: -5_000)
        #expect(try claims.take("shard-3") == nil)
    }

    @Test("of many that find a claim dead at the same time, one gets it")
    func takeover() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        let text = try canonicalJSON(try deadOwner(), lines: false)
        for round in 0..<30 {
            try leaveClaim("shard-\(round)", text, in: scratch.url)
            let taken = Mutex<[ShardClaim]>([])
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                if let claim = try? claims.take("shard-\(round)") {
                    taken.withLock { $0.append(claim) }
                }
            }
            let holders = taken.withLock { $0 }
            #expect(holders.count { $0.isHeld } == 1)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: claims.directory.path)
        #expect(!left.contains { $0.hasSuffix(DurableFile.temporarySuffix) })
    }

    @Test("a claim that was taken over between a look and the removal stays")
    func lateRemoval() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        try leaveClaim("shard-1", try canonicalJSON(try deadOwner(), lines: false), in: scratch.url)
        let found = try #require(try claims.look("shard-1"))
        let claim = try #require(try claims.take("shard-1"))
        #expect(try !claims.remove(found))
        #expect(claim.isHeld)
        #expect(try claims.take("shard-1") == nil)
    }

    @Test("a worker that was started anew elsewhere takes its own claim up, and no other's")
    func restarted() throws {
        let scratch = try Scratch()
        let text = try canonicalJSON(elsewhere(), lines: false)
        try leaveClaim("shard-1", text, in: scratch.url)
        let claims = (0..<2).map {
            ShardClaims(
                cache: scratch.url,
                timeout: 600,
                worker: CacheWorker(index: $0, count: 2)
            )
        }
        #expect(try claims[0].take("shard-1") == nil)
        let claim = try #require(try claims[1].take("shard-1"))
        // Here, where processes can be seen, a second one of the same number is another.
        #expect(try claims[1].take("shard-1") == nil)
        #expect(claim.isHeld)
    }

    @Test("who lost a claim learns of it and leaves the new one alone")
    func lost() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600, worker: nil)
        let slow = try #require(try claims.take("shard-1"))
        let file = claims.directory.appendingPathComponent("shard-1.claim")
        let first = try claims.look("shard-1")?.owner
        try setAge(file, 1_000)
        let taker = try #require(try claims.take("shard-1"))
        let second = try claims.look("shard-1")?.owner
        #expect(!slow.isHeld && taker.isHeld && first != second)
        slow.release()
        #expect(taker.isHeld)
        #expect(try claims.look("shard-1")?.owner == second)
    }

    @Test("a claim that is held is touched again and again")
    func heartbeat() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 1, worker: nil)
        let claim = try #require(try claims.take("shard-1"))
        let file = claims.directory.appendingPathComponent("shard-1.claim")
        for _ in 0..<2 {
            try setAge(file, 1_000)
            while try claims.look("shard-1")?.age ?? 0 > 100 { usleep(20_000) }
        }
        #expect(claim.isHeld)
    }
}
