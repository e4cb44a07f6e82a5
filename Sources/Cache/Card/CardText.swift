/// Strings of anybody's in YAML.
enum YAML {
    /// A double-quoted scalar, on one line, whatever the text is.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            // Noncharacters are not printable in YAML either.
            case _ where DisplayText.isUnsafe(scalar) || scalar.value & 0xFFFE == 0xFFFE:
                let isLong = scalar.value > 0xFFFF
                result +=
                    (isLong ? "\\U" : "\\u")
                    + DisplayText.hex(scalar.value, digits: isLong ? 8 : 4)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// Strings of anybody's in Markdown.
enum Markdown {
    /// A code span on one line that holds any text, in a table too.
    static func code(_ text: String) -> String {
        guard !text.isEmpty else { return "–" }
        let safe = DisplayText.escaped(text).replacing("|", with: "\\|")
        var longest = 0
        var run = 0
        for character in safe.utf8 {
            run = character == UInt8(ascii: "`") ? run + 1 : 0
            longest = max(longest, run)
        }
        let fence = String(repeating: "`", count: longest + 1)
        // A space on each side is not shown, and keeps backticks at the ends apart from the fence.
        let space = longest > 0 || safe.hasPrefix(" ") ? " " : ""
        return fence + space + safe + space + fence
    }

    /// Plain text on one line, in which nothing is markup.
    static func text(_ text: String) -> String {
        var result = ""
        for character in DisplayText.escaped(text) {
            if "\\`*[]<>|#&~$".contains(character) { result.append("\\") }
            result.append(character)
        }
        return result
    }

    /// A table of rows of cells that are Markdown already.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        ([head, head.map { _ in "---" }] + rows)
            .map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
    }
}
