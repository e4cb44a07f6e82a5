/// Checks that a pre-tokeniser's regular expression means the same in PCRE2 as in Oniguruma.
///
/// Hugging Face compiles these patterns with Oniguruma. What the two read differently is either
/// rewritten (`\s`: PCRE2 counts U+180E as a space) or refused by name, because a pattern that is
/// read otherwise gives other tokens without any error.
enum PatternSyntax {
    static let lengthLimit = 16_384
    /// White_Space of Unicode, for use inside a class.
    private static let space = #"\p{Z}\x{09}-\x{0D}\x{85}"#
    private static let groups = ["(?:", "(?i:", "(?!", "(?=", "(?<!", "(?<=", "(?>"]

    /// The PCRE2 form of an Oniguruma pattern.
    ///
    /// - Parameter newLetters: Let `\p{L}` and `\p{N}` include what `NewLetters` lists.
    static func translate(
        _ pattern: String,
        newLetters: Bool = false
    ) throws(TokenizerError) -> String {
        func refuse(_ reason: String) -> TokenizerError {
            .badPattern(pattern: pattern, reason: reason)
        }
        guard pattern.utf8.count <= lengthLimit else {
            throw refuse("it is longer than \(lengthLimit) bytes")
        }
        let source = Array(pattern.unicodeScalars)
        var out = ""
        var inClass = false
        var index = 0
        while index < source.count {
            let scalar = source[index]
            switch scalar {
            case "\\":
                guard index + 1 < source.count else { throw refuse("it ends in a backslash") }
                if newLetters, let more = additions(source[index...].prefix(5)) {
                    out += inClass ? more : "[\(more)]"
                    index += 4
                } else {
                    out += try escape(source[index + 1], inClass: inClass, refuse: refuse)
                    index += 1
                }
            case "[" where inClass:
                throw refuse("a class inside a class")
            case "[":
                inClass = true
                out += "["
                // A leading ] would be a member for one engine and the end for the other.
                if index + 1 < source.count, source[index + 1] == "^" {
                    out += "^"
                    index += 1
                }
                if index + 1 < source.count, source[index + 1] == "]" {
                    throw refuse("an empty class")
                }
            case "]" where inClass:
                inClass = false
                out += "]"
            case "&" where inClass && index + 1 < source.count && source[index + 1] == "&":
                throw refuse("the intersection of classes, '&&'")
            case "(" where !inClass:
                if index + 1 < source.count, source[index + 1] == "*" {
                    throw refuse("a verb, '(*'")
                }
                if index + 1 < source.count, source[index + 1] == "?" {
                    let rest = String(String.UnicodeScalarView(source[index...].prefix(4)))
                    guard groups.contains(where: { rest.hasPrefix($0) }) else {
                        throw refuse(
                            "the group '\(rest)…'; known: \(groups.joined(separator: " "))"
                        )
                    }
                }
                out += "("
            default: out.unicodeScalars.append(scalar)
            }
            index += 1
        }
        guard !inClass else { throw refuse("a class does not end") }
        return out
    }

    /// What a class needs for `\p{L}` and `\p{N}` with the new characters; nil for other texts.
    private static func additions(_ text: ArraySlice<Unicode.Scalar>) -> String? {
        switch String(String.UnicodeScalarView(text)) {
        case #"\p{L}"#: #"\p{L}"# + NewLetters.letters
        case #"\p{N}"#: #"\p{N}"# + NewLetters.numbers
        default: nil
        }
    }

    private static func escape(
        _ next: Unicode.Scalar,
        inClass: Bool,
        refuse: (String) -> TokenizerError
    ) throws(TokenizerError) -> String {
        switch next {
        case "s": return inClass ? space : "[\(space)]"
        case "S" where !inClass: return "[^\(space)]"
        case "p", "P", "d", "D", "r", "n", "t", "f", "x": return "\\\(next)"
        case _ where next.isASCII && !next.properties.isAlphabetic && !("0"..."9").contains(next):
            return "\\\(next)"
        default: throw refuse("the escape '\\\(next)'\(inClass ? " inside a class" : "")")
        }
    }
}
