/// The criteria by the names that settings files use.
public enum CriterionRegistry {
    /// Every criterion; a new one is added here.
    static var types: [any Criterion.Type] {
        [
            SupervisedFineTuning.self,
            KnowledgeDistillation.self,
            DualSpace.self,
            CrossModelDualSpace.self,
        ]
    }

    /// The names, in the order of METHOD.md.
    public static var names: [String] { types.map { $0.name } }

    /// The type of a name.
    ///
    /// - Throws: `DistillError.unknownName`, with the nearest name.
    public static func type(_ name: String) throws -> any Criterion.Type {
        if let type = types.first(where: { $0.name == name }) { return type }
        throw DistillError.unknownName(
            kind: "criterion",
            name: name,
            nearest: nearestName(to: name, among: names)
        )
    }
}

/// The candidate with the smallest edit distance; the first of equals.
func nearestName(to name: String, among candidates: [String]) -> String {
    let distances = candidates.map { editDistance(Array(name), Array($0)) }
    guard let least = distances.min(), let index = distances.firstIndex(of: least) else {
        return ""
    }
    return candidates[index]
}

/// Insertions, deletions and replacements that turn one text into the other (Levenshtein 1966).
func editDistance<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var current = [i + 1]
        for (j, y) in b.enumerated() {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
