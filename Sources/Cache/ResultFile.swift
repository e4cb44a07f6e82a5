import Foundation

/// An HDF5 file of plain arrays, for people and their scripts: not a part of a cache.
///
/// Every array lies in one piece and is not compressed, so that any HDF5 reader takes it without
/// plug-ins. Rows are written as they come; memory does not grow with the file. It gets its name only
/// when it is whole and on the disk.
public final class ResultFile {
    /// What elements are.
    public enum Element: Sendable {
        /// 32-bit floats.
        case f32
        /// 64-bit floats.
        case f64
        /// 64-bit integers.
        case i64

        var size: Int { number.size }

        var number: TensorNumber {
            switch self {
            case .f32: .f32
            case .f64: .f64
            case .i64: .i64
            }
        }
    }

    /// One array of the file.
    public struct Layout: Sendable {
        /// Its name, perhaps with groups: `hidden/final`.
        public let name: String
        /// What its elements are.
        public let type: Element
        /// Extents, none of them 0; no extents for a single value.
        public let shape: [Int]

        /// Describes an array.
        public init(_ name: String, _ type: Element, _ shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }
    }

    private let url: URL
    private let temporary: URL
    private var descriptor: Int32
    private var left: [String: (offset: Int, bytes: Int)] = [:]

    /// Makes the file under a temporary name, with room for all of its arrays.
    ///
    /// - Throws: `CacheError`: `diskFull` when there is no room, `io`, `corrupt` when HDF5 refuses.
    public init(_ url: URL, _ arrays: [Layout]) throws {
        self.url = url
        temporary = url.deletingLastPathComponent().appendingPathComponent(
            "." + url.lastPathComponent + DurableFile.temporarySuffix
        )
        descriptor = -1
        var needed = 0
        for array in arrays {
            var bytes = array.type.size
            for size in array.shape {
                let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
                guard size > 0, !overflow else {
                    throw CacheError.corrupt(url.path, "\(array.name) of shape \(array.shape)")
                }
                bytes = product
            }
            left[array.name] = (0, bytes)
            needed += bytes
        }
        // HDF5 would write through a link; a file of ours is made first, and not through one.
        let flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        descriptor = open(temporary.path, flags, 0o644)
        guard descriptor >= 0 else {
            throw CacheError.system(url.path, "create", code: errno, needed: needed)
        }
        for (name, offset) in try HDF5Library.layOut(arrays, path: temporary.path) {
            left[name]?.offset = offset
        }
        let end = left.values.map { $0.offset + $0.bytes }.max() ?? 0
        try DurableFile.reserve(end, descriptor, path: url.path, needed: needed)
    }

    deinit {
        guard descriptor >= 0 else { return }
        Foundation.close(descriptor)
        unlink(temporary.path)
    }

    /// Appends elements to an array, in row-major order.
    ///
    /// - Throws: `CacheError`: `diskFull`, `io`; `mismatch` when it is more than the array has room for.
    public func append(_ name: String, _ values: UnsafeRawBufferPointer) throws {
        guard let place = left[name], values.count <= place.bytes else {
            throw mismatch("\(name): more values than it has room for")
        }
        var rest = values[...]
        var offset = place.offset
        while !rest.isEmpty {
            let count = pwrite(
                descriptor,
                UnsafeRawBufferPointer(rebasing: rest).baseAddress,
                rest.count,
                off_t(offset)
            )
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let code = count == 0 ? ENOSPC : errno
                throw CacheError.system(url.path, "write", code: code, needed: rest.count)
            }
            rest = rest.dropFirst(count)
            offset += count
        }
        left[name] = (offset, place.bytes - values.count)
    }

    /// Flushes the whole file and gives it its name.
    ///
    /// - Throws: `CacheError`; `mismatch` when values are missing.
    public func finish() throws {
        if let (name, place) = left.first(where: { $0.value.bytes > 0 }) {
            throw mismatch("\(name): \(place.bytes) bytes are missing")
        }
        try DurableFile.flush(descriptor, path: url.path, needed: 0)
        let code = Foundation.close(descriptor)
        descriptor = -1
        guard code == 0, rename(temporary.path, url.path) == 0 else {
            let code = errno
            unlink(temporary.path)
            throw CacheError.system(url.path, "rename", code: code)
        }
        try DurableFile.flush(directory: url.deletingLastPathComponent())
    }

    private func mismatch(_ message: String) -> CacheError {
        CacheError(.mismatch, path: url.path, message, remedy: "This is a mistake of retort's.")
    }
}
