// The quantised types keep the names that GGUF gives them.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// How the elements of a stored tensor are encoded.
///
/// Raw values are the names used in messages and in our own files. The quantised types are
/// GGUF's: blocks of 32 or 256 neighbours in a row with shared scales.
public enum WeightType: String, Sendable, Codable, CaseIterable {
    /// IEEE 754 single precision.
    case f32
    /// IEEE 754 half precision.
    case f16
    /// The upper half of an f32.
    case bf16
    /// IEEE 754 double precision.
    case f64
    /// 4 bits and a scale for 32 elements.
    case q4_0
    /// 4 bits, a scale and a minimum for 32 elements.
    case q4_1
    /// 5 bits and a scale for 32 elements.
    case q5_0
    /// 5 bits, a scale and a minimum for 32 elements.
    case q5_1
    /// 8 bits and a scale for 32 elements.
    case q8_0
    /// 2 bits; blocks of 256 in groups of 16 with 4-bit scales and minima.
    case q2_K
    /// 3 bits; blocks of 256 in groups of 16 with 6-bit scales.
    case q3_K
    /// 4 bits; blocks of 256 in groups of 32 with 6-bit scales and minima.
    case q4_K
    /// 5 bits; blocks of 256 in groups of 32 with 6-bit scales and minima.
    case q5_K
    /// 6 bits; blocks of 256 in groups of 16 with 8-bit scales.
    case q6_K
    /// 4 bits that stand for 16 uneven values, and a scale for 32 elements.
    case iq4_nl
    /// The same values; blocks of 256 in groups of 32 with 6-bit scales.
    case iq4_xs
    /// Signed 8-bit integer.
    case i8
    /// Signed 16-bit integer.
    case i16
    /// Signed 32-bit integer.
    case i32
    /// Signed 64-bit integer.
    case i64
    /// Unsigned 8-bit integer.
    case u8
    /// Unsigned 16-bit integer.
    case u16
    /// Unsigned 32-bit integer.
    case u32
    /// Unsigned 64-bit integer.
    case u64
    /// One byte, 0 or 1.
    case bool

    /// Elements that are stored together: 1, 32 or 256.
    public var elementsPerBlock: Int {
        switch self {
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl: 32
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs: 256
        default: 1
        }
    }

    /// Bytes that a block takes.
    public var bytesPerBlock: Int {
        switch self {
        case .i8, .u8, .bool: 1
        case .f16, .bf16, .i16, .u16: 2
        case .f32, .i32, .u32: 4
        case .f64, .i64, .u64: 8
        case .q4_0, .iq4_nl: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q2_K: 84
        case .q3_K: 110
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        case .iq4_xs: 136
        }
    }

    /// The type that a GGUF file gives this number, nil when Retort does not read it.
    init?(gguf id: UInt32) {
        switch id {
        case 0: self = .f32
        case 1: self = .f16
        case 2: self = .q4_0
        case 3: self = .q4_1
        case 6: self = .q5_0
        case 7: self = .q5_1
        case 8: self = .q8_0
        case 10: self = .q2_K
        case 11: self = .q3_K
        case 12: self = .q4_K
        case 13: self = .q5_K
        case 14: self = .q6_K
        case 20: self = .iq4_nl
        case 23: self = .iq4_xs
        case 24: self = .i8
        case 25: self = .i16
        case 26: self = .i32
        case 27: self = .i64
        case 28: self = .f64
        case 30: self = .bf16
        default: return nil
        }
    }

    /// The number that a GGUF file gives the types that are written.
    var ggufNumber: UInt32? {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q8_0: 8
        default: nil
        }
    }

    /// The type that a safetensors header names, nil when Retort does not read it.
    init?(safetensors name: String) {
        guard let type = Self.allCases.first(where: { $0.safetensorsName == name }) else {
            return nil
        }
        self = type
    }

    /// The name in a safetensors header, nil for the quantised types.
    var safetensorsName: String? {
        self == .bool ? "BOOL" : elementsPerBlock == 1 ? rawValue.uppercased() : nil
    }

    /// Bytes of a tensor, nil when a product overflows or a row does not hold whole blocks.
    func byteCount(shape: [Int]) -> Int? {
        var elements = 1
        for size in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: size)
            guard size >= 0, !overflow else { return nil }
            elements = product
        }
        guard (shape.last ?? 1) % elementsPerBlock == 0 else { return nil }
        let blocks = elements / elementsPerBlock
        let (bytes, overflow) = blocks.multipliedReportingOverflow(by: bytesPerBlock)
        // The floats that it becomes must be countable too.
        guard !overflow, elements <= Int.max / MemoryLayout<Float>.stride else { return nil }
        return bytes
    }
}
