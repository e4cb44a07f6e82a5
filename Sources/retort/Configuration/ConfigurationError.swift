import Tokenizers

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
        let best = known.map { ($0, editDistance(Array(word), Array($0))) }.min { $0.1 < $1.1 }
        guard let best, best.1 <= max(2, word.count / 3) else { return nil }
        return best.0
    }
}
