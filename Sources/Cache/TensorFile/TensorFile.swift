import CKernels
import Foundation

/// An HDF5 file of plain arrays that anybody wrote with any program, as h5py does for
/// `file["student/hidden"] = array`.
///
/// Numbers (little-endian integers and floats) and texts of no, one or two dimensions, under names of at
/// most five parts, in one piece or in chunks, these perhaps packed by gzip, LZ4 or bitshuffle. The file
/// is a stranger's: HDF5 reads its structure in the jail alone, and what that says is checked against the
/// file's size before anything is read or any memory is taken for it.
///
/// Safe to use from several threads.
public final class TensorFile: Sendable {
    /// The file's path.
    public let path: String
    private let descriptor: Int32
    private let listing: TensorListing

    static let remedy =
        "Write numbers and texts as h5py does by itself, uncompressed or with gzip; see "
        + "docs/criterion-run.md."

    /// Opens a file and lists what is in it; no value is read yet.
    ///
    /// - Throws: `CacheError`: `missing`; `corrupt` for a file that is none, or with something in it that
    ///   is not read, with its name; `io`.
    public init(_ url: URL) throws {
        path = url.path
        // Not a device or a pipe, which would make us wait.
        let opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard opened >= 0 else {
            (descriptor, listing) = (-1, [:])
            throw CacheError.system(path, "open", code: errno)
        }
        do {
            let bytes = try DurableFile.size(opened, path: path)
            guard Self.hasSignature(opened, bytes: bytes) else {
                throw CacheError.foreign(path, "this is no HDF5 file")
            }
            let found = try HDF5Jail.listTensors(descriptor: opened, path: path)
            for array in found.values {
                guard let fault = array.fault(fileBytes: bytes) else { continue }
                throw CacheError.foreign(path, "'\(array.name)': \(fault) is not allowed")
            }
            // One array may lie there under many names.
            let unpacked = found.values.reduce(0.0) { $0 + Double($1.bytes) }
            let most = 16 * TensorLayout.freeUnpackedBytes + TensorLayout.mostUnpacking * bytes
            guard unpacked <= Double(most) else {
                throw CacheError.foreign(
                    path,
                    "all arrays together unpack to more than \(TensorLayout.mostUnpacking) times the file"
                )
            }
            (descriptor, listing) = (opened, found)
        } catch {
            close(opened)
            (descriptor, listing) = (-1, [:])
            throw Self.withRemedy(error)
        }
    }

    /// Whether the file begins as HDF5 files do, or would after a user block.
    private static func hasSignature(_ descriptor: Int32, bytes: Int) -> Bool {
        let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
        var start = 0
        while start + signature.count <= bytes {
            var found = [UInt8](repeating: 0, count: signature.count)
            guard pread(descriptor, &found, found.count, off_t(start)) == found.count else {
                return false
            }
            if found == signature { return true }
            start = max(512, 2 * start)
        }
        return false
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Names of all arrays, sorted.
    public var names: [String] { listing.keys.sorted() }

    /// Extents of an array, none for a single value; nil where there is none of that name.
    public func shape(of name: String) -> [Int]? { listing[name]?.shape }

    // MARK: Values

    /// Numbers in row-major order as f32, rounded where they are float64 or long integers.
    ///
    /// - Throws: `CacheError` naming file and array: `corrupt` where it is not there, holds texts or does
    ///   not unpack; `io`.
    public func floats(_ name: String) throws -> (values: [Float], shape: [Int]) {
        let array = try array(name)
        let values = try [Float](unsafeUninitializedCapacity: array.count) { out, count in
            try readFloats(array, into: .init(rebasing: out[..<array.count]))
            count = array.count
        }
        return (values, array.shape)
    }

    /// Numbers in row-major order as f32, to a buffer with room for exactly them.
    ///
    /// - Throws: As `floats`.
    public func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        try readFloats(try array(name), into: target)
    }

    /// Integers in row-major order.
    ///
    /// - Throws: As `floats`; `corrupt` for floats, and for a number beyond 63 bits.
    public func integers(_ name: String) throws -> (values: [Int], shape: [Int]) {
        let array = try array(name)
        let number = try number(array)
        guard !number.isFloat else {
            throw wrong("'\(name)' is of \(number.name), not of integers", "Write it as int64.")
        }
        let bytes = try bytes(array)
        let values: [Int] =
            switch number {
            case .i8: convert(bytes, Int8.self) { Int($0) }
            case .u8: convert(bytes, UInt8.self) { Int($0) }
            case .i16: convert(bytes, Int16.self) { Int($0) }
            case .u16: convert(bytes, UInt16.self) { Int($0) }
            case .i32: convert(bytes, Int32.self) { Int($0) }
            case .u32: convert(bytes, UInt32.self) { Int($0) }
            case .u64: convert(bytes, UInt64.self) { Int(exactly: $0) ?? -1 }
            default: convert(bytes, Int64.self) { Int($0) }
            }
        if number == .u64, let index = values.firstIndex(of: -1) {
            throw wrong("element \(index) of '\(name)' is 2^63 or more", "Write it as int64.")
        }
        return (values, array.shape)
    }

    /// Texts in row-major order.
    ///
    /// - Throws: As `floats`; `corrupt` for numbers, and for bytes that are not UTF-8.
    public func strings(_ name: String) throws -> (values: [String], shape: [Int]) {
        let array = try array(name)
        let bytes: [UInt8]
        let ranges: [Range<Int>]
        switch (array.element, array.storage) {
        case (.texts, .held(let values)):
            bytes = values
            ranges = TensorLayout.texts(in: values, array.count) ?? []
        case (.text(let size), _):
            bytes = try self.bytes(array)
            ranges = (0..<array.count).map { index in
                let text = bytes[index * size..<(index + 1) * size]
                return text.startIndex..<(text.firstIndex(of: 0) ?? text.endIndex)
            }
        default:
            throw wrong("'\(name)' holds numbers, not texts", "Write a list of str.")
        }
        let values = try ranges.enumerated().map { index, range in
            guard let text = String(validating: bytes[range], as: UTF8.self) else {
                throw wrong("text \(index) of '\(name)' is not UTF-8", "Write it as str.")
            }
            return text
        }
        return (values, array.shape)
    }

    private func readFloats(
        _ array: TensorLayout,
        into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        let number = try number(array)
        precondition(target.count == array.count, "room of \(target.count) for \(array.shape)")
        if number == .f32 { return try read(array, into: UnsafeMutableRawBufferPointer(target)) }
        guard let out = target.baseAddress else { return }
        let bytes = try bytes(array)
        switch number {
        case .f16:
            bytes.withUnsafeBytes { raw in
                guard let from = raw.bindMemory(to: UInt16.self).baseAddress else { return }
                ck_f16_to_f32(from, out, array.count)
            }
        case .f64: forEach(bytes, Double.self) { out[$0] = Float($1) }
        case .i8: forEach(bytes, Int8.self) { out[$0] = Float($1) }
        case .u8: forEach(bytes, UInt8.self) { out[$0] = Float($1) }
        case .i16: forEach(bytes, Int16.self) { out[$0] = Float($1) }
        case .u16: forEach(bytes, UInt16.self) { out[$0] = Float($1) }
        case .i32: forEach(bytes, Int32.self) { out[$0] = Float($1) }
        case .u32: forEach(bytes, UInt32.self) { out[$0] = Float($1) }
        case .u64: forEach(bytes, UInt64.self) { out[$0] = Float($1) }
        case .i64, .f32: forEach(bytes, Int64.self) { out[$0] = Float($1) }
        }
    }

    private func forEach<T: BitwiseCopyable>(
        _ bytes: [UInt8],
        _ type: T.Type,
        _ body: (Int, T) -> Void
    ) {
        bytes.withUnsafeBytes { raw in
            for (index, value) in raw.bindMemory(to: T.self).enumerated() { body(index, value) }
        }
    }

    private func convert<T: BitwiseCopyable>(
        _ bytes: [UInt8],
        _ type: T.Type,
        _ body: (T) -> Int
    ) -> [Int] {
        bytes.withUnsafeBytes { $0.bindMemory(to: T.self).map(body) }
    }

    private func array(_ name: String) throws -> TensorLayout {
        if let array = listing[name] { return array }
        throw CacheError(
            .corrupt,
            path: path,
            "there is no '\(name)' in it",
            remedy: "It has \(names.prefix(40).joined(separator: ", "))."
        )
    }

    private func number(_ array: TensorLayout) throws -> TensorNumber {
        if case .number(let number) = array.element { return number }
        throw wrong("'\(array.name)' holds texts, not numbers", "Write an array of numbers.")
    }

    private func wrong(_ message: String, _ remedy: String) -> CacheError {
        CacheError(.corrupt, path: path, message, remedy: remedy)
    }

    /// Errors of the walk and of the jail speak of caches, which this is none of.
    private static func withRemedy(_ error: any Error) -> any Error {
        guard let error = error as? CacheError, error.kind == .corrupt else { return error }
        return CacheError(.corrupt, path: error.path, error.message, remedy: remedy)
    }

    // MARK: Bytes

    private func bytes(_ array: TensorLayout) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: array.bytes) { out, count in
            try read(
                array,
                into: .init(rebasing: UnsafeMutableRawBufferPointer(out)[..<array.bytes])
            )
            count = array.bytes
        }
    }

    /// The bytes of a whole array in row-major order.
    private func read(_ array: TensorLayout, into target: UnsafeMutableRawBufferPointer) throws {
        switch array.storage {
        case .held(let values): target.copyBytes(from: values)
        case .contiguous(let offset):
            do {
                try DurableFile.readAll(descriptor, path: path, offset: offset, into: target)
            } catch { throw Self.withRemedy(error) }
        case .chunked(let codec, let rows, let columns, let places):
            let across = (array.columns - 1) / columns + 1
            for (index, place) in places.enumerated() {
                try ChunkScratch.withOne { scratch in
                    let chunk = scratch.unpacked(rows * columns * array.elementSize)
                    guard try unpack(place, codec, array, into: chunk, scratch) else {
                        throw wrong(
                            "chunk \(index) of '\(array.name)' does not unpack",
                            "Write the file again."
                        )
                    }
                    let (down, right) = index.quotientAndRemainder(dividingBy: across)
                    copy(chunk, rows, columns, at: (down * rows, right * columns), array, target)
                }
            }
        }
    }

    private func unpack(
        _ place: ChunkPlace,
        _ codec: ChunkCodec?,
        _ array: TensorLayout,
        into chunk: UnsafeMutableRawBufferPointer,
        _ scratch: ChunkScratch
    ) throws -> Bool {
        let stored = place.isRaw ? chunk : scratch.packed(place.size)
        try DurableFile.readAll(descriptor, path: path, offset: place.offset, into: stored)
        guard !place.isRaw, let codec else { return place.isRaw }
        return codec.unpack(
            UnsafeRawBufferPointer(stored),
            into: chunk,
            elementSize: array.elementSize,
            scratch: scratch.between(chunk.count),
            verifies: true
        )
    }

    /// Copies what a chunk (rows, columns) has of an array, to where that stands.
    private func copy(
        _ chunk: UnsafeMutableRawBufferPointer,
        _ rows: Int,
        _ columns: Int,
        at start: (row: Int, column: Int),
        _ array: TensorLayout,
        _ target: UnsafeMutableRawBufferPointer
    ) {
        let size = array.elementSize
        let width = min(columns, array.columns - start.column) * size
        for row in 0..<min(rows, array.rows - start.row) {
            let from = row * columns * size
            let to = ((start.row + row) * array.columns + start.column) * size
            UnsafeMutableRawBufferPointer(rebasing: target[to..<to + width])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: chunk[from..<from + width]))
        }
    }
}
