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
    var owner = ShardClaimOwner.current(worker: "worker 1 of 2")
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
        var owner = ShardClaimOwner.current(worker: "worker 1 of 2")
        (owner.host, owner.boot) = ("another", "another start")
        return owner
    }

    @Test("one of two has a claim, and the other when it is given back")
    func exclusive() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        let first = try #require(try claims.take("shard-1", worker: "a"))
        #expect(first.isHeld)
        #expect(try claims.take("shard-1", worker: "b") == nil)
        let other = try #require(try claims.take("shard-2", worker: "b"))
        #expect(try claims.live().map(\.name) == ["shard-1", "shard-2"])
        first.release()
        let second = try #require(try claims.take("shard-1", worker: "b"))
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
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        var reused = ShardClaimOwner.current(worker: "x")
        reused.processStart = "1"
        for (number, owner) in [try deadOwner(), reused].enumerated() {
            let name = "shard-\(number)"
            try leaveClaim(name, try canonicalJSON(owner, lines: false), in: scratch.url)
            #expect(try claims.live().isEmpty)
            let claim = try #require(try claims.take(name, worker: "a"))
            #expect(claim.isHeld)
        }
        // The same numbers in another container, or of another start, say nothing about this one.
        var foreign = try deadOwner()
        foreign.processes = "pid:[1]"
        try leaveClaim("shard-7", try canonicalJSON(foreign, lines: false), in: scratch.url)
        #expect(try claims.take("shard-7", worker: "a") == nil)
    }

    @Test("a claim of another machine lasts until it was not touched for the time set")
    func otherMachine() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        let text = try canonicalJSON(elsewhere(), lines: false)
        // Also what cannot be read, as after a kill where there are no hard links.
        for (name, bytes) in [("shard-1", text), ("shard-2", []), ("teacher", Array("?".utf8))] {
            try leaveClaim(name, bytes, in: scratch.url, age: 500)
            #expect(try claims.take(name, worker: "a") == nil)
            #expect(try claims.look(name)?.age ?? 0 >= 500)
            try leaveClaim(name, bytes, in: scratch.url, age: 700)
            #expect(try claims.take(name, worker: "a") != nil)
        }
        // A clock that was ahead.
        try leaveClaim("shard-3", text, in: scratch.url, age: -5_000)
        #expect(try claims.take("shard-3", worker: "a") == nil)
    }

    @Test("of many that find a claim dead at the same time, one gets it")
    func takeover() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        let text = try canonicalJSON(try deadOwner(), lines: false)
        for round in 0..<30 {
            try leaveClaim("shard-\(round)", text, in: scratch.url)
            let taken = Mutex<[ShardClaim]>([])
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                if let claim = try? claims.take("shard-\(round)", worker: "a") {
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
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        try leaveClaim("shard-1", try canonicalJSON(try deadOwner(), lines: false), in: scratch.url)
        let found = try #require(try claims.look("shard-1"))
        let claim = try #require(try claims.take("shard-1", worker: "quicker"))
        #expect(try !claims.remove(found))
        #expect(claim.isHeld)
        #expect(try claims.take("shard-1", worker: "late") == nil)
    }

    @Test("who lost a claim learns of it and leaves the new one alone")
    func lost() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 600)
        let slow = try #require(try claims.take("shard-1", worker: "slow"))
        let file = claims.directory.appendingPathComponent("shard-1.claim")
        try setAge(file, 1_000)
        let taker = try #require(try claims.take("shard-1", worker: "taker"))
        #expect(!slow.isHeld && taker.isHeld)
        slow.release()
        #expect(taker.isHeld)
        #expect(try claims.look("shard-1")?.owner?.worker == "taker")
    }

    @Test("a claim that is held is touched again and again")
    func heartbeat() throws {
        let scratch = try Scratch()
        let claims = ShardClaims(cache: scratch.url, timeout: 1)
        let claim = try #require(try claims.take("shard-1", worker: "a"))
        let file = claims.directory.appendingPathComponent("shard-1.claim")
        for _ in 0..<2 {
            try setAge(file, 1_000)
            while try claims.look("shard-1")?.age ?? 0 > 100 { usleep(20_000) }
        }
        #expect(claim.isHeld)
    }
}
