import Tokenizers

/// The criteria by the names that settings files use.
public enum CriterionRegistry {
    /// Every criterion; a new one is added here.
    public static var types: [any Criterion.Type] {
        [
            SupervisedFineTuning.self,
            KnowledgeDistillation.self,
            DualSpace.self,
            CrossModelDualSpace.self,
            DualSpaceV2.self,
            DualSpaceV2Eta.self,
            UniversalLogit.self,
            MinEdit.self,
            HiddenMeanSquare.self,
            HiddenCosine.self,
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
