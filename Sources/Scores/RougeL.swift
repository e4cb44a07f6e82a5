/// ROUGE-L as Google's `rouge_score` package computes it.
///
/// Source: C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004).
public struct RougeL: Sendable {
    /// Whether words of more than three letters are compared by their Porter stems: what the field reports.
    public let usesStemmer: Bool

    /// - Parameter usesStemmer: As the package's `use_stemmer`.
    public init(usesStemmer: Bool = true) { self.usesStemmer = usesStemmer }

    /// The words of a text: lower case, everything but a-z and 0-9 taken as space, stemmed.
    public func words(_ text: String) -> [String] {
        var words: [String] = []
        var word: [UInt8] = []
        func end() {
            guard !word.isEmpty else { return }
            let text = String(decoding: word, as: UTF8.self)
            words.append(usesStemmer && word.count > 3 ? PorterStemmer.stem(text) : text)
            word.removeAll(keepingCapacity: true)
        }
        for byte in text.lowercased().utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                word.append(byte)
            default: end()
            }
        }
        end()
        return words.filter { !$0.isEmpty }
    }

    /// The F1 of the longest common subsequence of words; 0 where either text has none.
    public func callAsFunction(_ prediction: String, reference: String) -> Double {
        score(words(prediction), words(reference))
    }

    /// The best F1 over several references; 0 where there are none.
    public func callAsFunction(_ prediction: String, references: [String]) -> Double {
        let prediction = words(prediction)
        return references.map { score(prediction, words($0)) }.max() ?? 0
    }

    private func score(_ prediction: [String], _ reference: [String]) -> Double {
        guard !prediction.isEmpty, !reference.isEmpty else { return 0 }
        let common = Double(longestCommonSubsequence(prediction, reference))
        guard common > 0 else { return 0 }
        let precision = common / Double(prediction.count)
        let recall = common / Double(reference.count)
        return 2 * precision * recall / (precision + recall)
    }
}
