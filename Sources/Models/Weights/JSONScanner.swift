import Foundation

/// A strict reader of the few JSON shapes that weight files use, straight from bytes.
///
/// Foundation's parser takes the last of duplicate keys and reads `1.0` where an integer belongs;
/// in a file from a stranger both can hide something, so both are errors here. It keeps no tree: a
/// header of 100 MB costs no more memory than what the caller keeps.
struct JSONScanner {
    /// What is wrong, and at which byte.
    struct Failure: Error {
        let message: String
        let offset: Int
    }

    private let bytes: [UInt8]
    private(set) var position = 0
    private static let depthLimit = 32

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func failure(_ message: String) -> Failure { Failure(message: message, offset: position) }

    /// The next byte that is not white space, left in place; nil at the end.
    mutating func peek() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"):
                position += 1
            default: return bytes[position]
            }
        }
        return nil
    }

    /// Takes `character` if it comes next.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func expect(_ character: Unicode.Scalar) throws {
        guard take(character) else { throw failure("expected '\(character)'") }
    }

    /// Nothing but white space may be left.
    mutating func expectEnd() throws {
        guard peek() == nil else { throw failure("unexpected bytes after the end") }
    }

    /// Reads an object, `body` the value of each key; duplicate keys are refused.
    mutating func object(_ body: (inout JSONScanner, String) throws -> Void) throws {
        try expect("{")
        if take("}") { return }
        var seen = Set<String>()
        repeat {
            let key = try string()
            guard seen.insert(key).inserted else { throw failure("duplicate key \"\(key)\"") }
            try expect(":")
            try body(&self, key)
        } while take(",")
        try expect("}")
    }

    /// Reads an array, `body` each element.
    mutating func array(_ body: (inout JSONScanner) throws -> Void) throws {
        try expect("[")
        if take("]") { return }
        repeat { try body(&self) } while take(",")
        try expect("]")
    }

    /// A non-negative integer without sign, fraction, exponent or leading zero.
    mutating func naturalNumber() throws -> Int {
        _ = peek()
        let start = position
        var value = 0
        while position < bytes.count, case let digit = bytes[position] &- UInt8(ascii: "0"),
            digit < 10
        {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(digit))
            guard !overflow, !carry else { throw failure("a number too large") }
            value = sum
            position += 1
        }
        guard position > start else { throw failure("expected a non-negative integer") }
        guard position == start + 1 || bytes[start] != UInt8(ascii: "0") else {
            throw failure("a number with leading zeros")
        }
        if position < bytes.count, [".", "e", "E"].contains(Unicode.Scalar(bytes[position])) {
            throw failure("expected an integer")
        }
        return value
    }

    /// A string; escapes and UTF-8 are checked.
    mutating func string() throws -> String {
        guard take("\"") else { throw failure("expected a string") }
        let start = position
        var escaped = false
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            guard bytes[position] >= 0x20 else { throw failure("a control character in a string") }
            if bytes[position] == UInt8(ascii: "\\") {
                escaped = true
                position += 1
            }
            position += 1
        }
        guard position < bytes.count else {
            position = bytes.count
            throw failure("a string that does not end")
        }
        let body = bytes[start..<position]
        position += 1
        if !escaped {
            guard let text = String(validating: body, as: UTF8.self) else {
                throw failure("a string that is not UTF-8")
            }
            return text
        }
        // Rare in weight files: let Foundation resolve the escapes of this one string.
        let quoted = Data(bytes[(start - 1)..<position])
        guard
            let value = try? JSONSerialization.jsonObject(with: quoted, options: .fragmentsAllowed),
            let text = value as? String
        else { throw failure("a string with a bad escape") }
        return text
    }

    /// Passes over any value.
    mutating func skipValue(depth: Int = 0) throws {
        guard depth < Self.depthLimit else { throw failure("nested too deeply") }
        switch peek() {
        case UInt8(ascii: "{"):
            try object {
                try $0.skipValue(depth: depth + 1)
                _ = $1
            }
        case UInt8(ascii: "["): try array { try $0.skipValue(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try string()
        default:
            let start = position
            while position < bytes.count, Self.isScalarByte(bytes[position]) { position += 1 }
            let text = String(decoding: bytes[start..<position], as: UTF8.self)
            guard ["true", "false", "null"].contains(text) || Double(text) != nil else {
                position = start
                throw failure("expected a value")
            }
        }
    }

    /// The bytes from a place to here, without white space around them.
    func text(from start: Int) -> String {
        String(decoding: bytes[start..<position], as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static func isScalarByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "+"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            true
        default: false
        }
    }
}
