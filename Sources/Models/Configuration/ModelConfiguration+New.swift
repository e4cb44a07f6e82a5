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

extension ModelConfiguration {
    /// How many weights a new model of these sizes has: GPT-2 or one of `newFamilies`.
    ///
    /// Counted from the sizes alone, before memory is taken; `Int.max` when there are more than that.
    public var newParameterCount: Int {
        var (sum, overflowed) = (0, false)
        func add(_ factors: Int...) {
            var product = 1
            for factor in factors {
                let (next, overflow) = product.multipliedReportingOverflow(by: factor)
                overflowed = overflowed || overflow
                product = next
            }
            let (next, overflow) = sum.addingReportingOverflow(product)
            overflowed = overflowed || overflow
            sum = next
        }
        let isGPT2 = modelType == "gpt2"
        let (d, inner) = (hiddenSize, intermediateSize)
        let (wide, narrow) = (headCount * headSize, keyValueHeadCount * headSize)
        add(tiesEmbeddings ? 1 : 2, vocabularySize, d)
        // The final norm, and two in each layer; LayerNorm has a bias.
        add(2 * layerCount + 1, d, isGPT2 ? 2 : 1)
        add(layerCount, 2, d, wide + narrow)
        add(layerCount, isGPT2 ? 2 : 3, d, inner)
        if isGPT2 {
            add(maxPositions, d)
            add(layerCount, 5 * d + inner)
        }
        if modelType == "qwen2" { add(layerCount, wide + 2 * narrow) }
        if modelType == "qwen3" { add(layerCount, 2, headSize) }
        return overflowed ? .max : sum
    }
}
