import Foundation

/// The first 48 bytes of a file with superblock version 3, as HDF5's format specification has it.
///
/// `H5Fget_file_image` clears the "open for writing" flag in its copy, but leaves the checksum as
/// it was (1.10.8); such an image does not open. This puts the right checksum in.
enum HDF5Superblock {
    private static let length = 44

    /// Sets flags to 0 and the checksum to match.
    /// - Returns: False when the image does not begin with such a superblock.
    static func seal(_ image: inout [UInt8]) -> Bool {
        let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
        guard image.count >= length + 4, image.starts(with: signature), image[8] == 3,
            image[9] == 8, image[10] == 8
        else { return false }
        image[11] = 0
        let checksum = lookup3(image[..<length])
        for i in 0..<4 { image[length + i] = UInt8(truncatingIfNeeded: checksum >> (8 * i)) }
        return true
    }

    /// Bob Jenkins' lookup3 hash (public domain) of a whole number of words, from 0.
    ///
    /// - Precondition: `bytes` is a multiple of four bytes, of the form 12 n + 8.
    static func lookup3(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        precondition(bytes.count % 12 == 8)
        var words: [UInt32] = []
        for i in stride(from: bytes.startIndex, to: bytes.endIndex, by: 4) {
            words.append(
                UInt32(bytes[i]) | UInt32(bytes[i + 1]) << 8 | UInt32(bytes[i + 2]) << 16
                    | UInt32(bytes[i + 3]) << 24
            )
        }
        var a = UInt32(0xDEAD_BEEF) &+ UInt32(bytes.count)
        var b = a
        var c = a
        func rotate(_ x: UInt32, _ k: UInt32) -> UInt32 { x << k | x >> (32 - k) }
        var i = 0
        while words.count - i > 3 {
            a &+= words[i]
            b &+= words[i + 1]
            c &+= words[i + 2]
            i += 3
            a = (a &- c) ^ rotate(c, 4)
            c &+= b
            b = (b &- a) ^ rotate(a, 6)
            a &+= c
            c = (c &- b) ^ rotate(b, 8)
            b &+= a
            a = (a &- c) ^ rotate(c, 16)
            c &+= b
            b = (b &- a) ^ rotate(a, 19)
            a &+= c
            c = (c &- b) ^ rotate(b, 4)
            b &+= a
        }
        a &+= words[i]
        b &+= words[i + 1]
        c = (c ^ b) &- rotate(b, 14)
        a = (a ^ c) &- rotate(c, 11)
        b = (b ^ a) &- rotate(a, 25)
        c = (c ^ b) &- rotate(b, 16)
        a = (a ^ c) &- rotate(c, 4)
        b = (b ^ a) &- rotate(a, 14)
        return (c ^ b) &- rotate(b, 24)
    }
}
