import Cache

/// Text out of models and data, as it may stand in XML and HTML.
package enum Markup {
    /// `text` with what a browser would take for markup written out, in elements and in quoted attributes, and
    /// with the characters that make text read as something else shown by their names (`DisplayText`).
    ///
    /// - Parameter keepsLines: Leaves newlines as they are, for text that is shown with them.
    package static func escaped(_ text: String, keepsLines: Bool) -> String {
        var result = ""
        for unit in DisplayText.escaped(text, keepsLines: keepsLines).unicodeScalars {
            switch unit {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Nothing that XML allows, and no browser shows.
            case _ where unit.value & 0xFFFE == 0xFFFE: result += "\u{FFFD}"
            default: result.unicodeScalars.append(unit)
            }
        }
        return result
    }

    /// One line of text.
    package static func escaped(_ text: String) -> String { escaped(text, keepsLines: false) }

    /// At most `limit` characters of a text with its lines; what was cut is counted.
    package static func shortened(_ text: String, to limit: Int) -> String {
        guard let end = text.index(text.startIndex, offsetBy: limit, limitedBy: text.endIndex),
            end < text.endIndex
        else { return escaped(text, keepsLines: true) }
        // Counting characters of a text of megabytes takes longer than all else.
        let left = text.utf8.distance(from: end, to: text.endIndex)
        return escaped(String(text[..<end]), keepsLines: true) + " … (\(left) more bytes)"
    }
}
