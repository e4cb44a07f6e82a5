/// What is wrong in a settings file, with its line, and what to do.
struct ConfigurationError: Error, CustomStringConvertible {
    let place: String
    let message: String
    let remedy: String

    var description: String {
        remedy.isEmpty ? "\(place): \(message)" : "\(place): \(message); \(remedy)"
    }

    /// The known word nearest to a mistyped one, if it is near.
    static func nearest(_ word: String, among known: [String]) -> String? {
        let best = known.map { ($0, distance(word, $0)) }.min { $0.1 < $1.1 }
        guard let best, best.1 <= max(2, word.count / 3) else { return nil }
        return best.0
    }

    /// Levenshtein's edit distance.
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a)
        let b = Array(b)
        var previous = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var current = [i + 1]
            for (j, y) in b.enumerated() {
                current.append(
                    min(previous[j] + (x == y ? 0 : 1), previous[j + 1] + 1, current[j] + 1)
                )
            }
            previous = current
        }
        return previous[b.count]
    }
}
