import Foundation

/// Reads JSON from a stranger's file: bounded depth, exact integers, no lone surrogates.
struct JSONReader {
    /// Deeper nesting is refused; tokenizer files use fewer than ten levels.
    static let depthLimit = 64
    /// Larger files are refused; the largest known tokenizer.json has about 35 MB.
    static let byteLimit = 256 << 20
    /// Objects with more members than this are vocabularies, whose readers check duplicates.
    static let duplicateCheckLimit = 256

    private let bytes: [UInt8]
    private let path: String
    private var at = 0

    private init(bytes: [UInt8], path: String) {
        self.bytes = bytes
        self.path = path
    }

    /// Reads and parses the file at `url`.
    ///
    /// - Throws: `TokenizerError.unreadable` or `.malformed` with the byte where reading stopped.
    static func read(_ url: URL) throws(TokenizerError) -> JSONValue {
        try parse(FileBytes.read(url, limit: byteLimit), path: url.path)
    }

    static func parse(_ bytes: [UInt8], path: String) throws(TokenizerError) -> JSONValue {
        var reader = JSONReader(bytes: bytes, path: path)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { reader.at = 3 }
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.at == bytes.count else { throw reader.error("text after the end") }
        return value
    }

    private func error(_ reason: String) -> TokenizerError {
        .malformed(path: path, place: "byte \(at)", reason: "not valid JSON: \(reason)")
    }

    private mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func value(depth: Int) throws(TokenizerError) -> JSONValue {
        guard depth < Self.depthLimit else {
            throw error("nested deeper than \(Self.depthLimit)")
        }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw error("the text ends here")
        default: return try number()
        }
    }

    private mutating func word(
        _ text: StaticString,
        _ value: JSONValue
    ) throws(TokenizerError) -> JSONValue {
        for byte in text.description.utf8 {
            guard next == byte else { throw error("'\(text)' was expected") }
            at += 1
        }
        return value
    }

    private mutating func array(depth: Int) throws(TokenizerError) -> JSONValue {
        at += 1
        var items: [JSONValue] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return .array(items)
        }
        while true {
            items.append(try value(depth: depth + 1))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "]"):
                at += 1
                return .array(items)
            default: throw error("',' or ']' was expected")
            }
        }
    }

    private mutating func object(depth: Int) throws(TokenizerError) -> JSONValue {
        at += 1
        var members: [JSONMember] = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("a key was expected") }
            let key = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw error("':' was expected") }
            at += 1
            members.append(JSONMember(key: key, value: try value(depth: depth + 1)))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "}"):
                at += 1
                try checkDuplicates(members)
                return .object(members)
            default: throw error("',' or '}' was expected")
            }
        }
    }

    private func checkDuplicates(_ members: [JSONMember]) throws(TokenizerError) {
        guard members.count <= Self.duplicateCheckLimit else { return }
        for (index, member) in members.enumerated() {
            let same = members[..<index].contains { $0.key.utf8.elementsEqual(member.key.utf8) }
            guard !same else {
                throw error("the key \(TokenizerError.shortened(member.key)) stands twice")
            }
        }
    }

    private mutating func number() throws(TokenizerError) -> JSONValue {
        let start = at
        while let byte = next, Self.isNumberByte(byte) { at += 1 }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if let integer = Int(text) { return .integer(integer) }
        guard !text.isEmpty, let number = ScoreText.value(text), number.isFinite else {
            at = start
            throw error("a value was expected")
        }
        return .number(number)
    }

    private static func isNumberByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
            UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    private mutating func string() throws(TokenizerError) -> String {
        at += 1
        let start = at
        // The common case: nothing escaped, one check and one copy.
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20
        {
            at += 1
        }
        if next == UInt8(ascii: "\"") {
            guard let text = String(validating: bytes[start..<at], as: UTF8.self) else {
                throw error("a string is not valid UTF-8")
            }
            at += 1
            return text
        }
        var unescaped = Array(bytes[start..<at])
        while true {
            switch next {
            case nil: throw error("a string does not end")
            case UInt8(ascii: "\""):
                guard let text = String(validating: unescaped, as: UTF8.self) else {
                    throw error("a string is not valid UTF-8")
                }
                at += 1
                return text
            case UInt8(ascii: "\\"):
                at += 1
                try escape(into: &unescaped)
            case .some(let byte):
                guard byte >= 0x20 else { throw error("a control character in a string") }
                unescaped.append(byte)
                at += 1
            }
        }
    }

    private mutating func escape(into out: inout [UInt8]) throws(TokenizerError) {
        guard let byte = next else { throw error("a string does not end") }
        at += 1
        switch byte {
        case UInt8(ascii: "n"): out.append(0x0A)
        case UInt8(ascii: "r"): out.append(0x0D)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "u"):
            var code = try hex4()
            if (0xD800..<0xDC00).contains(code) {
                guard next == UInt8(ascii: "\\") else { throw error("half a surrogate pair") }
                at += 1
                guard next == UInt8(ascii: "u") else { throw error("half a surrogate pair") }
                at += 1
                let low = try hex4()
                guard (0xDC00..<0xE000).contains(low) else {
                    throw error("half a surrogate pair")
                }
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            out.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
        default: throw error("an unknown escape in a string")
        }
    }

    private mutating func hex4() throws(TokenizerError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits were expected")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }
}
