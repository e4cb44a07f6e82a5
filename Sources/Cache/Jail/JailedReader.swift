import CJail
import Foundation

/// Lists files through a keeper, which is started for the first file and again after trouble.
///
/// Safe to use from several threads, which wait for each other.
final class JailedReader: @unchecked Sendable {
    // Unchecked: `keeper` is used under `lock` only.

    private let lock = NSLock()
    private let start: @Sendable () throws -> JailKeeper
    private var keeper: JailKeeper?

    init(start: @escaping @Sendable () throws -> JailKeeper) { self.start = start }

    /// Lists the arrays of an open file.
    ///
    /// - Throws: `CacheError.corrupt` naming `path` when HDF5 crashes or hangs on it, or when the answer
    ///   is not that of a file of its size.
    func list(descriptor: Int32, path: String, limit: Int) throws -> FileListing {
        let fileBytes = try DurableFile.size(descriptor, path: path)
        return try ListingWire.decode(
            bytes(CJ_LIST, descriptor: descriptor, path: path, limit: limit),
            path: path,
            fileBytes: fileBytes,
            limit: limit
        )
    }

    /// Lists the arrays of an open file of any program.
    ///
    /// - Throws: As `list`.
    func listTensors(descriptor: Int32, path: String) throws -> TensorListing {
        let fileBytes = try DurableFile.size(descriptor, path: path)
        return try TensorWire.decode(
            bytes(CJ_LIST_TENSORS, descriptor: descriptor, path: path, limit: 0),
            path: path,
            fileBytes: fileBytes
        )
    }

    /// What a reader says that ends well.
    private func bytes(_ kind: UInt32, descriptor: Int32, path: String, limit: Int) throws
        -> [UInt8]
    {
        let answer = try answer(kind, descriptor: descriptor, path: path, limit: limit)
        if let signal = answer.signal {
            throw CacheError.foreign(
                path,
                "HDF5 \(Self.ending(signal)) on this file's structure (signal \(signal))"
            )
        }
        guard answer.status == 0 else {
            throw CacheError.foreign(path, "HDF5 does not get through this file's structure")
        }
        return answer.bytes
    }

    /// Ends the keeper, where no file is being read.
    func end() {
        guard lock.try() else { return }
        defer { lock.unlock() }
        keeper?.end()
        keeper = nil
    }

    private func answer(
        _ kind: UInt32,
        descriptor: Int32,
        path: String,
        limit: Int
    ) throws -> JailKeeper.Answer {
        lock.lock()
        defer { lock.unlock() }
        // A keeper that somebody killed while it waited is no fault of the file: once more.
        for attempt in 0...1 {
            let current = try keeper ?? start()
            keeper = current
            do {
                return try current.answer(kind: kind, descriptor: descriptor, limit: limit)
            } catch let trouble as JailKeeper.Trouble {
                current.end()
                keeper = nil
                switch trouble {
                case .gone where attempt == 0: continue
                case .gone:
                    throw CacheError.foreign(path, "reading this file's structure ends the reader")
                case .tooLong:
                    throw CacheError.foreign(path, "HDF5 hangs on this file's structure")
                case .nonsense:
                    throw CacheError.foreign(path, "this file's structure gives no listing")
                }
            }
        }
        throw CacheError.foreign(path, "reading this file's structure ends the reader")
    }

    private static func ending(_ signal: Int32) -> String {
        signal == SIGXCPU || signal == SIGKILL ? "was stopped" : "crashed"
    }
}
