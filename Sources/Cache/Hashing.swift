import CKernels
import Crypto
import Foundation

/// SHA-256 of a file's bytes as 64 lower-case hex digits.
///
/// - Throws: `CacheError` when the file cannot be read.
public func sha256(of file: URL) throws -> String {
    let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw CacheError.system(file.path, "open", code: errno) }
    defer { close(descriptor) }
    return try sha256(descriptor: descriptor, path: file.path)
}

/// SHA-256 of `data` as 64 lower-case hex digits.
public func sha256(of data: Data) -> String {
    hex(SHA256.hash(data: data))
}

/// SHA-256 of bytes in memory.
func sha256(of bytes: [UInt8]) -> String {
    bytes.withUnsafeBytes { raw in
        var hasher = SHA256()
        hasher.update(bufferPointer: raw)
        return hex(hasher.finalize())
    }
}

/// SHA-256 of an open file, less the byte ranges in `skipping` (sorted, apart from each other).
func sha256(descriptor: Int32, path: String, skipping: [ByteRange] = []) throws -> String {
    var hasher = SHA256()
    var position = 0
    var skips = skipping[...]
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    while true {
        var wanted = buffer.count
        if let next = skips.first {
            if next.start <= position {
                position = max(position, next.end)
                skips = skips.dropFirst()
                continue
            }
            wanted = min(wanted, next.start - position)
        }
        let got = pread(descriptor, buffer.baseAddress, wanted, off_t(position))
        if got < 0 && errno == EINTR { continue }
        guard got >= 0 else { throw CacheError.system(path, "read", code: errno) }
        if got == 0 { break }
        hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        position += got
    }
    return hex(hasher.finalize())
}

/// CRC-32C of bytes in memory.
func crc32c(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return 0 }
    return ck_crc32c(0, base, bytes.count)
}

private func hex(_ digest: SHA256.Digest) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in digest {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}

/// Bytes `start` up to, not including, `end` of a file.
public struct ByteRange: Codable, Sendable, Equatable {
    /// First byte.
    public var start: Int
    /// One past the last byte.
    public var end: Int
}
