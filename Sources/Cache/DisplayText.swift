import Foundation

/// Text out of a file that somebody else may have written, as a terminal may show it.
///
/// Control characters move the cursor, change colours or the window's title; bidirectional
/// overrides make text read as something else. Neither gets to a terminal as it is.
public enum DisplayText {
    /// `text` with such characters written out: `\n`, `\t`, `\u{1B}`, `\u{202E}`.
    ///
    /// - Parameter keepsLines: Leaves newlines as they are.
    public static func escaped(_ text: String, keepsLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += keepsLines ? "\n" : "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where isUnsafe(scalar):
                result += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// At most `limit` characters of `text`, escaped; what was cut is counted.
    public static func shortened(_ text: String, to limit: Int) -> String {
        let start = cut(text, to: limit)
        guard start.utf8.count < text.utf8.count else { return escaped(text) }
        return escaped(start) + " … (\(text.count) characters)"
    }

    /// The first `limit` Unicode scalars of `text`.
    ///
    /// Not what Swift takes for characters: one of those may have a million accents.
    public static func cut(_ text: String, to limit: Int) -> String {
        let scalars = text.unicodeScalars
        guard
            let end = scalars.index(
                scalars.startIndex,
                offsetBy: limit,
                limitedBy: scalars.endIndex
            ), end < scalars.endIndex
        else { return text }
        return String(scalars[..<end])
    }

    /// A name of at most `limit` scalars, escaped: of a longer one the end, which tells it from others.
    public static func name(_ text: String, to limit: Int) -> String {
        let text = escaped(text)
        let scalars = text.unicodeScalars
        guard
            let start = scalars.index(
                scalars.endIndex,
                offsetBy: 1 - limit,
                limitedBy: scalars.startIndex
            ), start > scalars.startIndex
        else { return text }
        return "…" + String(scalars[start...])
    }

    /// JSON of the same meaning in which such characters are written as `\u202e`.
    ///
    /// They can stand in JSON between quotes only, where that is the same text.
    public static func json(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { isUnsafe($0) && $0 != "\n" }) else {
            return text
        }
        var result = ""
        for scalar in text.unicodeScalars {
            guard isUnsafe(scalar), scalar != "\n" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 { result += "\\u" + hex(unit, digits: 4) }
        }
        return result
    }

    /// Lower-case hex digits, with zeros in front.
    static func hex(_ value: some BinaryInteger, digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// Control and format characters, less the two joiners that some scripts and emoji need.
    static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        guard scalar.value < 0x20 || scalar.value >= 0x7F else { return false }
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        case .format: return scalar.value != 0x200C && scalar.value != 0x200D
        default: return false
        }
    }
}
