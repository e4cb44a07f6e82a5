import Foundation

/// Scores as decimal text, read with the reference's own rounding.
///
/// Hugging Face `tokenizers` reads a decimal number as its digits (those that fit 64 bits) times or
/// over a power of ten, rounding twice, which may differ from the nearest double by its last bits.
/// Two ways to cut a text that are equally probable on paper are told apart by just these bits.
enum ScoreText {
    static func value(_ text: String) -> Double? {
        var digits: UInt64 = 0
        var exponent = 0
        var isNegative = false
        var seenPoint = false
        var isFull = false
        let bytes = Array(text.utf8)
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "-") where index == 0: isNegative = true
            case UInt8(ascii: "."): seenPoint = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"):
                let tail = String(decoding: bytes[(index + 1)...], as: UTF8.self)
                guard let power = Int(tail), abs(power) <= 10_000 else { return Double(text) }
                exponent += power
                return scaled(digits, exponent, isNegative) ?? Double(text)
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let (product, over) = digits.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
                if isFull || over || carry {
                    guard seenPoint else { return Double(text) }
                    isFull = true
                } else {
                    digits = sum
                    if seenPoint { exponent -= 1 }
                }
            default: return nil
            }
        }
        return scaled(digits, exponent, isNegative) ?? Double(text)
    }

    private static func scaled(_ digits: UInt64, _ exponent: Int, _ isNegative: Bool) -> Double? {
        guard abs(exponent) <= 308, let power = Double("1e\(abs(exponent))") else { return nil }
        let value = exponent >= 0 ? Double(digits) * power : Double(digits) / power
        return isNegative ? -value : value
    }

    /// A text that reads back as `value`: the shortest, else digits and a power of ten.
    ///
    /// Every number that was read has such a text. One that was not (a GGUF file's, widened from 32
    /// bits) may have none; then it is off by a last bit for the reference, and here.
    static func text(_ value: Double) -> String {
        if Self.value("\(value)") == value { return "\(value)" }
        let sign = value < 0 ? "-" : ""
        for places in 0...19 {
            guard let power = Double("1e\(places)"), abs(value) * power < 0x1p63 else { break }
            var above = abs(value) * power
            var below = above
            for _ in 0..<4 {
                for digits in [above, below] {
                    let text = "\(sign)\(UInt64(digits.rounded()))e-\(places)"
                    if Self.value(text) == value { return text }
                }
                above = above.nextUp
                below = below.nextDown
            }
        }
        return "\(value)"
    }
}
