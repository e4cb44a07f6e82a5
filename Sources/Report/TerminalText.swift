/// Text by the columns that a terminal gives it.
enum TerminalText {
    /// How many columns a scalar takes: none for what lies on the letter before, two for East Asian letters and
    /// pictures.
    private static func columns(of scalar: Unicode.Scalar) -> Int {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }

    /// How many columns a text takes.
    static func columns(of text: String) -> Int {
        text.unicodeScalars.reduce(0) { $0 + columns(of: $1) }
    }

    /// A text with spaces behind it up to a width, one at least.
    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - columns(of: text)))
    }

    /// As much of a line as fits, with a sign that it goes on.
    static func fitted(_ line: String, to width: Int) -> String {
        // Of accents, any number fits; a line has no more of them than letters twice over.
        let line = String(line.unicodeScalars.prefix(3 * width).map(Character.init))
        guard columns(of: line) > width else { return line }
        var left = width - 1
        return String(
            String.UnicodeScalarView(
                line.unicodeScalars.prefix { scalar in
                    left -= columns(of: scalar)
                    return left >= 0
                }
            )
        ) + "…"
    }
}
