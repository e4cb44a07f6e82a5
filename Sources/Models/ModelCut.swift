/// What a pruned model keeps of another.
public struct ModelCut: Sendable, Equatable {
    /// The layers to keep, in order: layer i of the new model is `layers[i]` of the old one.
    public var layers: [Int]
    /// Channels inside the feed-forward layers; nil for all.
    public var intermediateSize: Int?
    /// Heads; nil for all, or all of the groups that stay.
    public var headCount: Int?
    /// Heads of keys and values, each with the group of heads that share it; nil for as many as heads ask.
    public var keyValueHeadCount: Int?
    /// Channels of the residual stream; nil for all.
    public var hiddenSize: Int?

    /// Layers alone.
    public init(layers: [Int]) { self.layers = layers }

    /// Whether the layers themselves are made narrower.
    public var cutsWidth: Bool {
        [intermediateSize, headCount, keyValueHeadCount, hiddenSize].contains { $0 != nil }
    }

    /// So many layers, the first and the last among them, evenly spaced.
    ///
    /// - Parameters:
    ///   - count: At least 1 and at most `all`; one layer is the first.
    ///   - all: Layers of the model.
    public static func evenLayers(_ count: Int, of all: Int) -> [Int] {
        guard count > 1 else { return [0] }
        return (0..<count).map { (2 * $0 * (all - 1) + count - 1) / (2 * (count - 1)) }
    }

    /// The sizes of the pruned model.
    ///
    /// - Parameter path: The model's, for errors.
    /// - Throws: `ModelError` `mismatch` for what the model does not have, or its family does not allow.
    func configuration(of whole: ModelConfiguration, path: String) throws -> ModelConfiguration {
        func refuse(_ message: String, _ remedy: String) -> ModelError {
            ModelError(.mismatch, path: path, message, remedy: remedy)
        }
        var cut = whole
        guard !layers.isEmpty, layers.allSatisfy((0..<whole.layerCount).contains) else {
            throw refuse(
                "layers \(layers) of a model that has 0 to \(whole.layerCount - 1)",
                "Name layers that the model has"
            )
        }
        cut.layerCount = layers.count
        if !whole.layerKinds.isEmpty { cut.layerKinds = layers.map { whole.layerKinds[$0] } }
        let group = whole.headCount / whole.keyValueHeadCount
        if let headCount, keyValueHeadCount == nil, headCount % group != 0 {
            throw refuse(
                "\(headCount) heads are no whole groups of \(group)",
                "Give a multiple of \(group), or the number of key-value heads as well"
            )
        }
        cut.keyValueHeadCount =
            keyValueHeadCount ?? headCount.map { $0 / group } ?? whole.keyValueHeadCount
        cut.headCount = headCount ?? cut.keyValueHeadCount * group
        cut.intermediateSize = intermediateSize ?? whole.intermediateSize
        cut.hiddenSize = hiddenSize ?? whole.hiddenSize
        for (name, new, old) in [
            ("intermediate size", cut.intermediateSize, whole.intermediateSize),
            ("heads", cut.headCount, whole.headCount),
            ("key-value heads", cut.keyValueHeadCount, whole.keyValueHeadCount),
            ("hidden size", cut.hiddenSize, whole.hiddenSize),
        ] where !(1...old).contains(new) {
            throw refuse("\(name) of \(new) cut from \(old)", "Give 1 to \(old)")
        }
        guard cut.headCount % cut.keyValueHeadCount == 0,
            cut.headCount / cut.keyValueHeadCount <= group
        else {
            throw refuse(
                "\(cut.headCount) heads over \(cut.keyValueHeadCount) key-value heads, cut from "
                    + "groups of \(group)",
                "Give the same number of heads, at most \(group), to each key-value head"
            )
        }
        guard cut.headCount * cut.headSize == cut.hiddenSize || whole.hasOwnHeadSize else {
            throw refuse(
                "\(cut.headCount) heads of \(cut.headSize) channels for a hidden size of "
                    + "\(cut.hiddenSize), which \(whole.modelType) does not allow",
                "Cut both: a hidden size of \(cut.headSize) times the heads"
            )
        }
        if cut.hiddenSize != whole.hiddenSize, whole.modelType.hasPrefix("gemma") {
            cut.embeddingScale = Float(cut.hiddenSize).squareRoot()
        }
        try cut.validate(path)
        return cut
    }
}

extension ModelConfiguration {
    /// Whether heads may have another size than hidden size / heads.
    fileprivate var hasOwnHeadSize: Bool { !["gpt2", "gpt_neox", "phi3"].contains(modelType) }
}
