/// Whether a text says the same as a reference, word for word.
///
/// Case, ASCII punctuation and the width of white space do not count: the measure of Super-NaturalInstructions
/// (Wang et al. 2022), which MiniLLM and DSKD report.
public enum ExactMatch {
    /// Lower case without punctuation, words one space apart.
    public static func normalized(_ text: String) -> String {
        var plain = String.UnicodeScalarView()
        plain.append(
            contentsOf: text.lowercased().unicodeScalars.lazy.filter {
                !($0.isASCII && isPunctuation($0))
            }
        )
        return plain.split(whereSeparator: isSpace).map { String(String.UnicodeScalarView($0)) }
            .joined(separator: " ")
    }

    /// 1 where a reference is the same, else 0.
    public static func score(_ prediction: String, references: [String]) -> Double {
        let prediction = normalized(prediction)
        return references.contains {
            normalized($0).unicodeScalars.elementsEqual(prediction.unicodeScalars)
        }
            ? 1 : 0
    }

    /// Python's `string.punctuation`.
    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
        default: false
        }
    }

    /// What Python's `str.split()` splits at: white space, and the separators of ASCII.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
}
