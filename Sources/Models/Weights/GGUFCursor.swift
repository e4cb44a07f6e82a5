/// Reads the head of a GGUF file front to back, never past its end.
///
/// The bounds are those that llama.cpp and its kin set or should have: strings of 64 MiB, arrays
/// within arrays to depth 4, counts that the rest of the head can hold.
struct GGUFCursor {
    private let bytes: UnsafeRawBufferPointer
    private let path: String
    private(set) var position = 0

    private static let stringLimit = 64 << 20
    private static let depthLimit = 4
    private static let elementLimit = 1 << 24

    init(_ bytes: UnsafeRawBufferPointer, path: String) {
        self.bytes = bytes
        self.path = path
    }

    func corrupt(_ message: String) -> ModelError {
        ModelError(
            .corrupt,
            path: path,
            "byte \(position): \(message)",
            remedy: ModelError.fetchAgain
        )
    }

    /// A little-endian number.
    mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws -> Number {
        let size = MemoryLayout<Number>.size
        guard size <= bytes.count - position else { throw corrupt("the file ends here") }
        defer { position += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Number.self))
    }

    /// A count of things that take at least `minimum` bytes each.
    mutating func count(of what: String, minimum: Int) throws -> Int {
        let count = try number(UInt64.self)
        guard count <= UInt64((bytes.count - position) / minimum) else {
            throw corrupt("\(count) \(what) do not fit the rest of the file")
        }
        return Int(count)
    }

    mutating func string() throws -> String {
        let length = try number(UInt64.self)
        guard length <= UInt64(Self.stringLimit) else {
            throw corrupt("a string of \(length) bytes is too long")
        }
        guard Int(length) <= bytes.count - position else {
            throw corrupt("a string of \(length) bytes reaches past the end of the file")
        }
        defer { position += Int(length) }
        let body = bytes[position..<(position + Int(length))]
        return String(decoding: body, as: UTF8.self)
    }

    /// A value of the type with this number.
    mutating func value(type: UInt32) throws -> GGUFValue {
        switch type {
        case 0: .int(Int64(try number(UInt8.self)))
        case 1: .int(Int64(try number(Int8.self)))
        case 2: .int(Int64(try number(UInt16.self)))
        case 3: .int(Int64(try number(Int16.self)))
        case 4: .int(Int64(try number(UInt32.self)))
        case 5: .int(Int64(try number(Int32.self)))
        case 6: .float(Double(Float(bitPattern: try number())))
        case 7: .bool(try bool())
        case 8: .string(try string())
        case 9: try array(depth: 1)
        case 10: Self.unsigned(try number())
        case 11: .int(try number())
        case 12: .float(Double(bitPattern: try number()))
        default: throw corrupt("value type \(type) does not exist")
        }
    }

    private mutating func array(depth: Int) throws -> GGUFValue {
        guard depth <= Self.depthLimit else { throw corrupt("arrays nested too deeply") }
        let type = try number(UInt32.self)
        // Strings begin with 8 bytes of length, arrays with 12 of type and count.
        let sizes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]
        guard type < sizes.count else { throw corrupt("array of value type \(type)") }
        let count = try count(of: "array elements", minimum: sizes[Int(type)])
        guard count <= Self.elementLimit else { throw corrupt("an array of \(count) elements") }
        switch type {
        case 0: return .ints(try many(count) { Int64(try $0.number(UInt8.self)) })
        case 1: return .ints(try many(count) { Int64(try $0.number(Int8.self)) })
        case 2: return .ints(try many(count) { Int64(try $0.number(UInt16.self)) })
        case 3: return .ints(try many(count) { Int64(try $0.number(Int16.self)) })
        case 4: return .ints(try many(count) { Int64(try $0.number(UInt32.self)) })
        case 5: return .ints(try many(count) { Int64(try $0.number(Int32.self)) })
        case 6:
            return .floats(try many(count) { Double(Float(bitPattern: try $0.number())) })
        case 7: return .bools(try many(count) { try $0.bool() })
        case 8: return .strings(try many(count) { try $0.string() })
        case 9: return .array(try many(count) { try $0.array(depth: depth + 1) })
        case 10:
            let numbers = try many(count) { try $0.number(UInt64.self) }
            let signed = numbers.compactMap { Int64(exactly: $0) }
            return signed.count == count ? .ints(signed) : .array(numbers.map(Self.unsigned))
        case 11: return .ints(try many(count) { try $0.number(Int64.self) })
        default: return .floats(try many(count) { Double(bitPattern: try $0.number()) })
        }
    }

    private mutating func many<Element>(
        _ count: Int,
        _ read: (inout GGUFCursor) throws -> Element
    ) throws -> [Element] {
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try read(&self)) }
        return elements
    }

    private mutating func bool() throws -> Bool {
        let byte = try number(UInt8.self)
        guard byte <= 1 else { throw corrupt("a truth value of \(byte)") }
        return byte == 1
    }

    private static func unsigned(_ number: UInt64) -> GGUFValue {
        Int64(exactly: number).map { .int($0) } ?? .uint(number)
    }
}
