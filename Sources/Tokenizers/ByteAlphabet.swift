/// The 256 characters in which byte-level BPE writes bytes, from GPT-2.
///
/// Printable bytes stand for themselves; the 68 others take the code points from U+0100 on, in order,
/// so that a vocabulary can be kept as text without spaces or control characters.
package enum ByteAlphabet {
    /// The character of each byte.
    package static let scalars: [Unicode.Scalar] = {
        var scalars: [Unicode.Scalar] = []
        var extra: UInt16 = 0x100
        for byte in UInt8.min...UInt8.max {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: scalars.append(Unicode.Scalar(byte))
            default:
                // All below the surrogates, so the fallback is never taken.
                scalars.append(Unicode.Scalar(extra) ?? " ")
                extra += 1
            }
        }
        return scalars
    }()

    /// The byte of each character below U+0144, -1 where it has none.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that `piece` stands for; its own UTF-8 when it uses another alphabet.
    package static func decode(_ piece: String) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(piece.utf8.count)
        for scalar in piece.unicodeScalars {
            guard scalar.value < bytes.count, bytes[Int(scalar.value)] >= 0 else {
                return Array(piece.utf8)
            }
            out.append(UInt8(bytes[Int(scalar.value)]))
        }
        return out
    }

    /// Appends the UTF-8 of the characters that stand for `raw`.
    static func encode(_ raw: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
        for byte in raw {
            let code = scalars[Int(byte)].value
            if code < 0x80 {
                out.append(UInt8(code))
            } else {
                out.append(UInt8(0xC0 | code >> 6))
                out.append(UInt8(0x80 | code & 0x3F))
            }
        }
    }
}
