/// Suggestions for mistyped names.
enum Names {
    /// The error for a name that is not known, with the nearest one that is.
    static func unknown(_ name: String, of known: [String], kind: String) -> TokenizerError {
        let nearest = known.map { ($0, distance(name.lowercased(), $0)) }.min { $0.1 < $1.1 }
        let limit = max(2, name.count / 2)
        return .unknownName(
            kind: kind,
            name: String(name.prefix(120)),
            known: known,
            nearest: nearest.flatMap { $0.1 <= limit ? $0.0 : nil }
        )
    }

    /// The number of single-character edits between two texts (Levenshtein).
    static func distance(_ first: String, _ second: String) -> Int {
        let second = Array(second)
        var row = Array(0...second.count)
        // A stranger's name may be a megabyte; past this length it is like no name anyway.
        for (i, character) in first.prefix(200).enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in second.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(
                    above + 1,
                    row[j] + 1,
                    diagonal + (character == other ? 0 : 1)
                )
                diagonal = above
            }
        }
        return row[second.count]
    }
}
