import Foundation
import Tensors

/// Damages a file's bytes as disks, networks and people with bad intentions do.
///
/// The same seed and number always give the same damage.
struct Mutation {
    private var random: RandomNumbers

    init(seed: UInt64, number: Int) {
        random = RandomNumbers(seed: seed, purpose: "mutation \(number)")
    }

    private mutating func below(_ limit: Int) -> Int {
        limit < 1 ? 0 : Int(random.next() % UInt64(limit))
    }

    /// Sizes at which careless arithmetic goes wrong.
    private static let numbers: [UInt64] = [
        0, 1, 2, 3, 7, 31, 127, 128, 255, 256, 1 << 15, 1 << 16, (1 << 31) - 1, 1 << 31,
        (1 << 32) - 1,
        1 << 32, 1 << 40, 1 << 52, 1 << 60, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63,
        .max - 1,
        .max,
    ]

    private static let jsonValues = [
        "0", "-1", "1e999", "-1e999", "1e-400", "9223372036854775807", "9223372036854775808",
        "18446744073709551616", "4294967296", "0.5", "null", "true", "false", "[]", "{}", "\"\"",
        "\"\\u0000\"", "\"\\ud800\"", "[[[[[[[[[[]]]]]]]]]]", "{\"a\":{\"a\":{\"a\":{}}}}",
        "\"../../../etc/passwd\"", "\"(a*)*b\"", "\"[\"", "\"(?R)\"", "{\"type\":\"Sequence\"}",
    ]

    /// One to four damages to `bytes`.
    ///
    /// - Parameters:
    ///   - text: The part that is JSON, where whole values are exchanged as well.
    ///   - other: Bytes of another file, to take pieces from.
    mutating func apply(to bytes: inout [UInt8], text: Range<Int>?, other: [UInt8]) {
        // JSON that no longer parses shows little, so most damage to it exchanges values.
        for _ in 0..<(1 + below(3) * below(2)) {
            guard !bytes.isEmpty else { return }
            if let text, below(8) != 0 {
                exchangeValue(&bytes, text.clamped(to: 0..<bytes.count))
            } else {
                damage(&bytes, other)
            }
        }
    }

    private mutating func damage(_ bytes: inout [UInt8], _ other: [UInt8]) {
        // Headers decide everything that follows, so half of all damage goes there.
        let reach = below(2) == 0 ? min(bytes.count, 512) : bytes.count
        let at = below(reach)
        let length = min(bytes.count - at, 1 + below(1 << below(12)))
        switch below(8) {
        case 0: bytes[at] ^= 1 << UInt8(below(8))
        case 1: bytes[at] = UInt8(below(256))
        case 2, 3:
            let number = Self.numbers[below(Self.numbers.count)]
            let width = [1, 2, 4, 8][below(4)]
            for index in 0..<min(width, bytes.count - at) {
                bytes[at + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
            }
        case 4: bytes.removeSubrange(at..<(at + length))
        case 5: bytes.insert(contentsOf: bytes[at..<(at + length)], at: below(bytes.count))
        case 6: bytes.removeSubrange(at...)
        default:
            guard !other.isEmpty else { return }
            let from = below(other.count)
            let piece = other[from..<min(other.count, from + length)]
            bytes.replaceSubrange(at..<(at + min(length, piece.count)), with: piece)
        }
    }

    /// Puts another value in the place of a number, string or word, or doubles a member.
    private mutating func exchangeValue(_ bytes: inout [UInt8], _ text: Range<Int>) {
        guard let old = value(bytes, text) else { return }
        switch below(8) {
        case 0: bytes.insert(contentsOf: bytes[old] + [UInt8(ascii: ",")], at: old.lowerBound)
        case 1, 2, 3:
            guard let other = value(bytes, text) else { return }
            bytes.replaceSubrange(old, with: Array(bytes[other]))
        case 4:
            let number = Self.numbers[below(Self.numbers.count)]
            bytes.replaceSubrange(old, with: Array(String(number >> UInt64(below(64))).utf8))
        default:
            let value = Self.jsonValues[below(Self.jsonValues.count)]
            bytes.replaceSubrange(old, with: Array(value.utf8))
        }
    }

    /// Where a value of the JSON text stands.
    ///
    /// Half of the time in its first bytes: vocabularies and tensors are long and alike, what says
    /// how to read them stands before.
    private mutating func value(_ bytes: [UInt8], _ text: Range<Int>) -> Range<Int>? {
        guard !text.isEmpty else { return nil }
        let reach = below(2) == 0 ? min(text.count, 3_000) : text.count
        let start = text.lowerBound + below(reach)
        guard let first = bytes[start..<text.upperBound].firstIndex(where: isValueStart) else {
            return nil
        }
        var end = first + 1
        if bytes[first] == UInt8(ascii: "\"") {
            while end < text.upperBound, bytes[end] != UInt8(ascii: "\"") { end += 1 }
            end = min(end + 1, text.upperBound)
        } else {
            while end < text.upperBound, isWord(bytes[end]) { end += 1 }
        }
        return first..<end
    }

    private func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }

    private func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private func isValueStart(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "\"") || isDigit(byte) || byte == UInt8(ascii: "t")
            || byte == UInt8(ascii: "f") || byte == UInt8(ascii: "n")
    }
}
