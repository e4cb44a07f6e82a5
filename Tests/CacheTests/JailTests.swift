import CJail
import Foundation
import Testing

@testable import Cache

@Suite("The jail around HDF5")
struct JailTests {
    /// A keeper that is a thread of this process: `answer` gets the file and the pipe for the answer, and
    /// gives the status that the reader ended with; nil: the keeper goes away instead.
    private static func standIn(
        seconds: Double = 30,
        mostBytes: Int = 1 << 20,
        _ answer: @escaping @Sendable (_ file: Int32, _ reply: Int32, _ limit: Int) -> Int32?
    ) throws -> JailKeeper {
        var pair: [Int32] = [-1, -1]
        #expect(cj_pair(&pair) == 0)
        let other = pair[1]
        #expect(cj_send_report(other, cj_report(magic: CJ_MAGIC, value: 3)) == 0)
        Thread.detachNewThread {
            defer { close(other) }
            var (request, file, reply) = (cj_request(), Int32(-1), Int32(-1))
            while cj_receive_request(other, &request, &file, &reply) == 0 {
                let status = answer(file, reply, Int(request.limit))
                close(file)
                close(reply)
                guard let status else { return }
                _ = cj_send_report(other, cj_report(magic: CJ_MAGIC, value: status))
            }
        }
        return try JailKeeper(
            socket: pair[0],
            process: nil,
            seconds: seconds,
            mostBytes: mostBytes
        )
    }

    private static func write(_ bytes: [UInt8], _ reply: Int32) {
        _ = cj_write_all(reply, bytes, bytes.count)
    }

    private static func honest(_ file: Int32, _ reply: Int32, _ limit: Int) -> Int32? {
        write(
            ListingWire.encoded {
                try HDF5Library.list(descriptor: file, path: "", limit: limit)
            },
            reply
        )
        return 0
    }

    /// A cache's shard: the file, and what the library itself lists.
    private func shard() throws -> (scratch: Scratch, file: VerifiedFile, listing: FileListing) {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let url = scratch.url.appendingPathComponent("shards/00000.h5")
        let file = try VerifiedFile(url, entry: nil)
        return (scratch, file, try file.list(limit: 1 << 30))
    }

    private func list(_ reader: JailedReader, _ file: VerifiedFile) throws -> FileListing {
        try reader.list(descriptor: file.descriptor, path: file.path, limit: 1 << 30)
    }

    @Test("what comes through the socket is what the library lists")
    func same() throws {
        let (scratch, file, listing) = try shard()
        let reader = JailedReader { try Self.standIn(Self.honest) }
        for _ in 0..<3 {
            let found = try list(reader, file)
            #expect(String(describing: found.header) == String(describing: listing.header))
            #expect(found.arrays.keys.sorted() == listing.arrays.keys.sorted())
            for (name, array) in listing.arrays {
                let other = try #require(found.arrays[name])
                #expect(String(describing: array) == String(describing: other))
            }
        }
        _ = scratch
    }

    @Test("an error comes through with its words and remedy, in printable ASCII")
    func errors() throws {
        let (scratch, file, _) = try shard()
        for error in [
            CacheError.corrupt("", "HDF5 cannot handle x"), .foreign("", "'y' is not allowed"),
        ] {
            let reader = JailedReader {
                try Self.standIn { _, reply, _ in
                    Self.write(ListingWire.encoded { throw error }, reply)
                    return 0
                }
            }
            let found = try #require(throws: CacheError.self) { try list(reader, file) }
            #expect(found.kind == .corrupt && found.path == file.path)
            #expect(found.message == error.message && found.remedy == error.remedy)
        }
        let reader = JailedReader {
            try Self.standIn { _, reply, _ in
                let words = "\u{1B}[2Jé\n" + String(repeating: "x", count: 1000)
                Self.write(ListingWire.encoded { throw CacheError.corrupt("", words) }, reply)
                return 0
            }
        }
        let found = try #require(throws: CacheError.self) { try list(reader, file) }
        #expect(found.message.hasPrefix("?[2J??xx") && found.message.count == 400)
        _ = scratch
    }

    @Test("a reader that dies, hangs, floods or talks nonsense is the file's fault, and names it")
    func misbehaviour() throws {
        let (scratch, file, _) = try shard()
        typealias Answer = @Sendable (Int32, Int32, Int) -> Int32?
        let cases: [(String, Answer)] = [
            ("crashed on this file's structure (signal 11)", { _, _, _ in SIGSEGV }),
            ("was stopped on this file's structure", { _, _, _ in SIGXCPU }),
            ("does not get through", { _, _, _ in 70 << 8 }),
            ("gives no listing", { _, _, _ in 0 }),
            (
                "gives no listing",
                { _, reply, _ in
                    Self.write([UInt8](repeating: 0xAB, count: 5000), reply)
                    return 0
                }
            ),
            (
                "gives no listing",
                { _, reply, _ in
                    // Ends when the parent closes the pipe.
                    signal(SIGPIPE, SIG_IGN)
                    Self.write([UInt8](repeating: 0, count: 8 << 20), reply)
                    return 0
                }
            ),
            (
                // A dead one's bytes are not looked at.
                "crashed",
                { file, reply, limit in
                    _ = Self.honest(file, reply, limit)
                    return SIGABRT
                }
            ),
            (
                "hangs",
                { _, _, _ in
                    sleep(3)
                    return 0
                }
            ),
            ("ends the reader", { _, _, _ in nil }),
        ]
        for (words, answer) in cases {
            let reader = JailedReader {
                try Self.standIn(seconds: words == "hangs" ? 1 : 30, answer)
            }
            let error = try #require(throws: CacheError.self) { try list(reader, file) }
            #expect(error.kind == .corrupt && error.path == file.path, "\(words): \(error)")
            #expect(error.message.contains(words), "\(words): \(error)")
        }
        _ = scratch
    }

    @Test("after trouble the next file gets a new keeper, and one that was killed idle is replaced")
    func again() throws {
        let (scratch, file, listing) = try shard()
        let started = Counter()
        let reader = JailedReader {
            let number = started.next()
            return try Self.standIn { file, reply, limit in
                if number < 2 { return nil }
                if number == 2 { Self.write([1], reply) }
                return number == 2 ? 0 : Self.honest(file, reply, limit)
            }
        }
        #expect(throws: CacheError.self) { try list(reader, file) }  // Both attempts.
        #expect(throws: CacheError.self) { try list(reader, file) }  // Nonsense.
        #expect(started.count == 3)
        let idle = JailedReader {
            let number = started.next()
            return try Self.standIn { file, reply, limit in
                number == 3 ? nil : Self.honest(file, reply, limit)
            }
        }
        #expect(try list(idle, file).arrays.count == listing.arrays.count)
        #expect(started.count == 5)
        _ = scratch
    }

    @Test("a keeper that does not start is an error that says how to go on without")
    func noStart() throws {
        let (scratch, file, _) = try shard()
        let reader = JailedReader { throw JailKeeper.failure("starting a process", code: EAGAIN) }
        let error = try #require(throws: CacheError.self) { try list(reader, file) }
        #expect(error.kind == .io && error.remedy.contains("RETORT_NO_SANDBOX=1"))
        var pair: [Int32] = [-1, -1]
        #expect(cj_pair(&pair) == 0)
        close(pair[1])
        #expect(throws: CacheError.self) { try JailKeeper(socket: pair[0], process: nil) }
        _ = scratch
    }

    @Test("no bytes of a reader make a listing that reaches outside the file")
    func mutations() throws {
        let (scratch, file, listing) = try shard()
        let fileBytes = try DurableFile.size(file.descriptor, path: file.path)
        let whole = ListingWire.encoded { listing }
        func decode(_ bytes: [UInt8], limit: Int = 1 << 30) throws -> FileListing {
            try ListingWire.decode(bytes, path: "p", fileBytes: fileBytes, limit: limit)
        }
        #expect(try decode(whole).arrays.count == listing.arrays.count)
        for length in 0..<whole.count {
            let error = #expect(throws: CacheError.self) { try decode(Array(whole[..<length])) }
            #expect(error?.path == "p")
        }
        #expect(throws: CacheError.self) { try decode(whole + [0]) }
        var generator = OrderGenerator(seed: 3, epoch: 0, stream: 0)
        let wild: [UInt64] = [0, 1, .max, 1 << 63, (1 << 63) - 1, 1 << 31, 1 << 32, 1 << 61]
        var (refused, passed) = (0, 0)
        for number in 0..<40_000 {
            var bytes = whole
            let position = Int(generator.next() % UInt64(bytes.count - 8))
            if number % 2 == 0 {
                bytes[position] ^= 1 << (generator.next() % 8)
            } else {
                let value = wild[Int(generator.next() % UInt64(wild.count))]
                for i in 0..<8 { bytes[position + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
            }
            do {
                for array in try decode(bytes, limit: number % 3 == 0 ? .max : 1 << 30).arrays
                    .values
                {
                    expectSane(array, fileBytes: fileBytes)
                }
                passed += 1
            } catch let error as CacheError {
                #expect(error.kind == .corrupt || error.kind == .unsupported)
                refused += 1
            }
        }
        #expect(refused > 10_000 && passed > 1000)
        _ = scratch
    }

    private func expectSane(_ array: ArrayLayout, fileBytes: Int) {
        let isEmpty = array.rows == 0 || array.columns == 0
        #expect(array.rows >= 0 && (array.columns ?? 0) >= 0 && array.chunkRows > 0)
        #expect(array.rawBytes >= 0 && array.chunkBytes <= ChunkCodec.largestChunk || isEmpty)
        let down = (array.rows + array.chunkRows - 1) / array.chunkRows
        #expect(array.chunks.count == (isEmpty ? 0 : down * array.chunksAcross))
        for place in array.chunks {
            #expect(place.offset >= 0 && place.size > 0 && place.offset + place.size <= fileBytes)
            #expect(
                place.size <= array.chunkBytes && (!place.isRaw || place.size == array.chunkBytes)
            )
        }
    }

    /// Counts calls from several threads.
    private final class Counter: @unchecked Sendable {
        // Unchecked: `value` is used under `lock` only.
        private let lock = NSLock()
        private var value = 0
        var count: Int { lock.withLock { value } }
        func next() -> Int {
            lock.withLock {
                defer { value += 1 }
                return value
            }
        }
    }
}
