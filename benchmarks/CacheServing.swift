import Cache
import Foundation

/// What benchmarks/cache.py asks for: one thing to measure.
struct CacheRequest: Decodable {
    /// Name of the measurement.
    var what: String
    /// The cache's directory.
    var cache: String
    /// The cache that another is made from.
    var from: String?
    var shard: Int?
    var shards: Int?
    /// Examples of each shard.
    var examples: Int?
    var array: String?
    /// `stored`, `floats` or `nothing`: what becomes of the rows.
    var into: String?
    var threads: Int?
    /// MiB.
    var memory: Int?
    /// Examples shuffled among each other.
    var window: Int?
    /// Stop after so many.
    var seconds: Double?
    var count: Int?
    var hiddenType: CacheSignals.HiddenType?
    var compression: CacheCompression?
    /// Keep the rows as they are.
    var exact: Bool?

    var directory: URL { URL(fileURLWithPath: cache) }
    var origin: URL { URL(fileURLWithPath: from ?? cache) }
}

/// The Retort side of benchmarks/cache.py: answers every request, a line of JSON, with numbers.
///
/// `benchmarks cache REQUEST` answers that one and ends.
func serveCache(_ arguments: [String]) throws {
    let bench = CacheBench()
    if let text = arguments.first { return try bench.serve(text) }
    while let text = readLine() { try bench.serve(text) }
}

/// Keeps what measurements share, so that it is not made again for each round.
final class CacheBench {
    private var readers: [String: CacheReader] = [:]
    /// Records to write, by the cache that they came from.
    var records: [String: [CacheRecord]] = [:]
    /// Room for rows; touched before anything is measured.
    private var room = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 4096)

    func serve(_ text: String) throws {
        let request = try JSONDecoder().decode(CacheRequest.self, from: Data(text.utf8))
        var numbers: [String: Double]
        let before = processorSeconds()
        switch request.what {
        case "make": numbers = try make(request)
        case "link": numbers = try link(request)
        case "sizes": numbers = try sizes(request)
        case "read": numbers = try read(request)
        case "checksum": numbers = try checksum(request)
        case "write": numbers = try write(request)
        case "pack": numbers = try pack(request)
        case "stream": numbers = try stream(request)
        case "random": numbers = try random(request)
        default:
            print("usage: benchmarks cache [REQUEST], see benchmarks/cache.py")
            exit(64)
        }
        if numbers["cpu"] == nil { numbers["cpu"] = processorSeconds() - before }
        let answer = try JSONEncoder().encode(numbers) + [0x0A]
        FileHandle.standardOutput.write(answer)
    }

    func reader(_ request: CacheRequest) throws -> CacheReader {
        if let found = readers[request.cache] { return found }
        let made = try CacheReader(directory: request.directory)
        readers[request.cache] = made
        return made
    }

    func space(_ bytes: Int) -> UnsafeMutableRawBufferPointer {
        if room.count < bytes {
            room.deallocate()
            room = .allocate(byteCount: bytes, alignment: 4096)
            room.initializeMemory(as: UInt8.self, repeating: 1)
        }
        return UnsafeMutableRawBufferPointer(rebasing: room[..<bytes])
    }

    /// Bytes of each array for a row, packed and raw.
    private func sizes(_ request: CacheRequest) throws -> [String: Double] {
        let manifest = try reader(request).manifest
        let rows = Double(manifest.shards.reduce(0) { $0 + $1.rows })
        var numbers = ["rows": rows]
        for shard in manifest.shards {
            for (name, bytes) in shard.file.arrays {
                numbers[name, default: 0] += Double(bytes.stored) / rows
                numbers[name + " raw", default: 0] += Double(bytes.raw) / rows
            }
        }
        return numbers
    }
}

/// Seconds of all processors that this process has used: others on the machine change them little.
func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let times = [usage.ru_utime, usage.ru_stime]
    return times.reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
}

/// Seconds that `body` takes.
func elapsed(_ body: () throws -> Void) rethrows -> Double {
    let clock = ContinuousClock()
    let time = try clock.measure(body).components
    return Double(time.seconds) + Double(time.attoseconds) / 1e18
}
