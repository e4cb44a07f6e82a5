import Models

extension StudentSettings {
    /// What a student keeps of another model.
    struct Prune: Codable, Equatable {
        /// The layers; nil for `keep` of them, or all.
        var layers: [LayerRange]?
        /// How many layers, evenly spaced.
        var keep: Int?
        var intermediateSize: Int?
        var heads: Int?
        var kvHeads: Int?
        var hiddenSize: Int?
        /// A cache or JSON Lines file on whose texts the importance of channels is measured.
        var sample: String?

        enum CodingKeys: String, CodingKey, CaseIterable {
            case layers, keep, heads, sample
            case intermediateSize = "intermediate_size"
            case kvHeads = "kv_heads"
            case hiddenSize = "hidden_size"
        }
    }
}

extension StudentSettings.Prune {
    /// Whether layers are made narrower.
    var cutsWidth: Bool {
        [intermediateSize, heads, kvHeads, hiddenSize].contains { $0 != nil }
    }

    /// The numbers that `layers` stands for.
    var layerNumbers: [Int]? { layers.map { $0.flatMap { Array($0.numbers) } } }

    /// Refuses what cannot be meant, before anything is read.
    func validate() throws {
        func refuse(_ key: CodingKeys, _ message: String, _ remedy: String) -> ConfigurationError {
            ConfigurationError(
                place: "student.prune.\(key.rawValue)",
                message: message,
                remedy: remedy
            )
        }
        guard layers == nil || keep == nil else {
            throw refuse(.keep, "given beside layers", "name the layers, or how many to keep")
        }
        let numbers = layerNumbers ?? []
        guard zip(numbers, numbers.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw refuse(
                .layers,
                "\(numbers.map(String.init).joined(separator: ", ")): layers stay in the model's order",
                "name each once, from the lowest to the highest"
            )
        }
        guard layers != nil || keep != nil || cutsWidth else {
            throw refuse(
                .layers,
                "nothing is cut",
                "give layers, keep, intermediate_size, heads, kv_heads or hidden_size"
            )
        }
        for (key, value) in [
            (CodingKeys.keep, keep), (.intermediateSize, intermediateSize), (.heads, heads),
            (.kvHeads, kvHeads), (.hiddenSize, hiddenSize),
        ] where value.map({ !(1...1_048_576).contains($0) }) ?? false {
            throw refuse(key, "\(value ?? 0) is out of range", "give 1 or more")
        }
        guard sample == nil || cutsWidth else {
            throw refuse(
                .sample,
                "a sample, though only layers are cut",
                "leave it out, or cut the width"
            )
        }
    }

    /// What is kept of a model with so many layers.
    ///
    /// - Throws: `ConfigurationError` when it has fewer than `keep`.
    func cut(of layerCount: Int) throws -> ModelCut {
        if let keep, keep > layerCount {
            throw ConfigurationError(
                place: "student.prune.keep",
                message: "\(keep) of \(layerCount) layers",
                remedy: "give 1 to \(layerCount)"
            )
        }
        var cut = ModelCut(
            layers: layerNumbers ?? keep.map { ModelCut.evenLayers($0, of: layerCount) }
                ?? Array(0..<layerCount)
        )
        cut.intermediateSize = intermediateSize
        cut.headCount = heads
        cut.keyValueHeadCount = kvHeads
        cut.hiddenSize = hiddenSize
        return cut
    }
}
