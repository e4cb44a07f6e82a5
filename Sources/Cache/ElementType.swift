/// The element types that the format knows, as they lie on disk (little-endian).
public enum ElementType: String, CaseIterable, Codable, Sendable {
    case u8
    case i8
    case u16
    case u32
    case u64
    case bf16
    case f16
    case f32

    /// Bytes of one element.
    public var size: Int {
        switch self {
        case .u8, .i8: 1
        case .u16, .bf16, .f16: 2
        case .u32, .f32: 4
        case .u64: 8
        }
    }
}
