/// ROUGE-L as Google's `rouge_score` computes it, without stemming.
public enum Rouge {
    /// The words of a text: lower case, everything but a-z and 0-9 taken as space.
    public static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        for scalar in text.lowercased().unicodeScalars {
            if ("a"..."z").contains(scalar) || ("0"..."9").contains(scalar) {
                word.unicodeScalars.append(scalar)
            } else if !word.isEmpty {
                words.append(word)
                word = ""
            }
        }
        return word.isEmpty ? words : words + [word]
    }

    /// The F1 of the longest common subsequence of words; 0 where either text has none.
    public static func rougeL(_ answer: String, reference: String) -> Double {
        rougeL(words(answer), words(reference))
    }

    /// The best F1 over several references.
    public static func rougeL(_ answer: String, references: [String]) -> Double {
        let answer = words(answer)
        return references.map { rougeL(answer, words($0)) }.max() ?? 0
    }

    private static func rougeL(_ answer: [String], _ reference: [String]) -> Double {
        guard !answer.isEmpty, !reference.isEmpty else { return 0 }
        let common = Double(longestCommonSubsequence(answer, reference))
        guard common > 0 else { return 0 }
        let precision = common / Double(answer.count)
        let recall = common / Double(reference.count)
        return 2 * precision * recall / (precision + recall)
    }

    private static func longestCommonSubsequence(_ a: [String], _ b: [String]) -> Int {
        var row = [Int](repeating: 0, count: b.count + 1)
        for x in a {
            var diagonal = 0
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = x == y ? diagonal + 1 : max(above, row[j])
                diagonal = above
            }
        }
        return row[b.count]
    }
}
