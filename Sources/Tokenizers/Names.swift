/// Suggestions for mistyped names.
enum Names {
    /// The error for a name that is not known, with the nearest one that is.
    static func unknown(_ name: String, of known: [String], kind: String) -> TokenizerError {
        // A stranger's name may be a megabyte; past this length it is like no name anyway.
        let start = Array(name.lowercased().prefix(200))
        let nearest = known.map { ($0, editDistance(start, Array($0))) }.min { $0.1 < $1.1 }
        let limit = max(2, name.count / 2)
        return .unknownName(
            kind: kind,
            name: String(name.prefix(120)),
            known: known,
            nearest: nearest.flatMap { $0.1 <= limit ? $0.0 : nil }
        )
    }
}
