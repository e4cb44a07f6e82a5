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
            // XML does not allow these two.
            case "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(unit)
            }
        }
        return result
    }

    /// One line of text.
    package static func escaped(_ text: String) -> String { escaped(text, keepsLines: false) }

    /// At most `limit` characters of a text with its lines; what was cut is counted.
    package static func shortened(_ text: String, to limit: Int) -> String {
        let start = DisplayText.cut(text, to: limit)
        let left = text.utf8.count - start.utf8.count
        return escaped(start, keepsLines: true) + (left > 0 ? " … (\(left) more bytes)" : "")
    }
}
