/// A number of bytes as people write it: `512MiB`, `8GiB`, `8GB`, `1.5GiB`, or a plain number.
public struct ByteCount: Sendable, Equatable {
    /// The number of bytes.
    public var bytes: Int

    /// So many bytes.
    public init(bytes: Int) { self.bytes = bytes }

    private static let units: [(name: String, bytes: Double)] = [
        ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40),
        ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12),
        ("k", 0x1p10), ("m", 0x1p20), ("g", 0x1p30), ("t", 0x1p40), ("b", 1), ("", 1),
    ]

    /// The size that a text says; nil when it says none.
    ///
    /// - Parameter text: A number of 1 byte to 2^60 bytes and a unit, in capitals or not: KiB, MiB,
    ///   GiB and TiB (also K, M, G and T) are powers of 1,024; kB, MB, GB and TB of 1,000.
    public init?(_ text: String) {
        let plain = text.lowercased().filter { $0 != " " }
        let digits = plain.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = plain.dropFirst(digits.count)
        guard let value = Double(digits), let factor = Self.units.first(where: { $0.name == unit }),
            value * factor.bytes >= 1, value * factor.bytes <= 0x1p60
        else { return nil }
        bytes = Int(value * factor.bytes)
    }

    /// The size in the largest binary unit that it fills, such as `1.5 GiB`.
    public var text: String { Self.text(bytes) }

    static func text(_ bytes: Int) -> String {
        let value = Double(bytes)
        for (name, unit) in [("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10)]
        where value >= unit {
            let tenths = (value / unit * 10).rounded() / 10
            return tenths == tenths.rounded() ? "\(Int(tenths)) \(name)" : "\(tenths) \(name)"
        }
        return "\(bytes) bytes"
    }
}

extension ByteCount: Codable {
    /// Decodes a text such as `8GiB`, or a number of bytes.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int.self) {
            guard number >= 1, number <= 1 << 60 else {
                throw Self.misfit(container, "\(number)")
            }
            bytes = number
            return
        }
        let text = try container.decode(String.self)
        guard let size = ByteCount(text) else { throw Self.misfit(container, "\"\(text)\"") }
        self = size
    }

    private static func misfit(_ container: any SingleValueDecodingContainer, _ found: String)
        -> DecodingError
    {
        DecodingError.dataCorruptedError(
            in: container,
            debugDescription: "\(found) is no size; give one such as 512MiB or 8GiB"
        )
    }

    /// Encodes the number of bytes.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(bytes)
    }
}
