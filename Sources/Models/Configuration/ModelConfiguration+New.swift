extension ModelConfiguration {
    /// The families of which `newFamily` makes models, besides GPT-2.
    public static let newFamilies = ["llama", "mistral", "qwen2", "qwen3"]

    /// A model of Llama's form with the given sizes; what a family's published models have in common
    /// otherwise: biases of Qwen2's projections, norms of Qwen3's heads, bases of the rotary positions.
    ///
    /// - Parameters:
    ///   - modelType: One of `newFamilies`.
    ///   - headSize: Nil for hidden size / heads.
    /// - Returns: Nil for another family.
    public static func newFamily(
        _ modelType: String,
        hiddenSize: Int,
        layerCount: Int,
        headCount: Int,
        keyValueHeadCount: Int,
        headSize: Int? = nil,
        intermediateSize: Int,
        vocabularySize: Int,
        maxPositions: Int,
        tiesEmbeddings: Bool = true
    ) -> ModelConfiguration? {
        guard newFamilies.contains(modelType) else { return nil }
        let isQwen = modelType.hasPrefix("qwen")
        var configuration = ModelConfiguration(
            modelType: modelType,
            hiddenSize: hiddenSize,
            layerCount: layerCount,
            headCount: headCount,
            keyValueHeadCount: keyValueHeadCount,
            headSize: headSize ?? (headCount > 0 ? hiddenSize / headCount : 0),
            intermediateSize: intermediateSize,
            vocabularySize: vocabularySize,
            maxPositions: maxPositions,
            normEpsilon: isQwen ? 1e-6 : 1e-5,
            tiesEmbeddings: tiesEmbeddings
        )
        if isQwen { configuration.ropeTheta = 1_000_000 }
        configuration.attentionBias = modelType == "qwen2"
        return configuration
    }
}
