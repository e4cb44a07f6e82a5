import Foundation
import Tensors

/// Which channels and heads of each kept layer stay, by their numbers in the whole model.
struct WidthSelection {
    /// Channels of the residual stream.
    var hidden: [Int]
    /// By layer of the pruned model.
    var inner: [[Int]]
    /// By layer of the pruned model, groups in order.
    var heads: [[Int]]
    /// By layer of the pruned model.
    var keyValueHeads: [[Int]]

    /// The most important ones of each kind, as many as the pruned model has.
    init(
        _ importance: ChannelImportance,
        layers: [Int],
        from whole: ModelConfiguration,
        to cut: ModelConfiguration
    ) {
        let group = whole.headCount / whole.keyValueHeadCount
        let keptGroup = cut.headCount / cut.keyValueHeadCount
        hidden = ChannelImportance.best(cut.hiddenSize, of: importance.hidden)
        inner = layers.map {
            ChannelImportance.best(cut.intermediateSize, of: importance.inner[$0])
        }
        let groups = layers.map { layer in
            let scores = (0..<whole.keyValueHeadCount).map { group in
                importance.heads[layer][Self.range(group, of: whole)].reduce(0, +)
            }
            return ChannelImportance.best(cut.keyValueHeadCount, of: scores)
        }
        keyValueHeads = groups
        heads = zip(layers, groups).map { layer, groups in
            groups.flatMap { number in
                let range = Self.range(number, of: whole)
                return keptGroup == group
                    ? Array(range)
                    : ChannelImportance.best(keptGroup, of: Array(importance.heads[layer][range]))
                        .map { $0 + range.lowerBound }
            }
        }
    }

    /// The heads that share a key-value head.
    private static func range(_ group: Int, of whole: ModelConfiguration) -> Range<Int> {
        let size = whole.headCount / whole.keyValueHeadCount
        return (group * size)..<((group + 1) * size)
    }
}

/// Some layers of another model under new numbers, and some channels and heads of these; everything else
/// as it is there.
struct CutParameters: ParameterSource {
    let source: any ParameterSource
    /// The whole model's.
    let configuration: ModelConfiguration
    /// Layer i of the new model is `layers[i]`.
    let layers: [Int]
    /// Nil keeps the width.
    let selection: WidthSelection?

    /// What a dimension of a weight counts.
    private enum Axis {
        case hidden
        case inner
        /// Gate, then up.
        case innerTwice
        /// Channels of the heads.
        case queries
        /// Channels of the key-value heads.
        case keys
        /// All queries, all keys, all values.
        case fused
        /// Query, key and value of each head.
        case interleaved
        /// Not cut.
        case whole
    }

    /// What the maps inside a block lead to, and from.
    private static let maps: [String: (to: Axis, from: Axis)] = [
        "self_attn.q_proj": (.queries, .hidden), "self_attn.k_proj": (.keys, .hidden),
        "self_attn.v_proj": (.keys, .hidden), "self_attn.o_proj": (.hidden, .queries),
        "self_attn.qkv_proj": (.fused, .hidden), "attn.c_attn": (.fused, .hidden),
        "attn.c_proj": (.hidden, .queries),
        "attention.query_key_value": (.interleaved, .hidden),
        "attention.dense": (.hidden, .queries), "mlp.gate_proj": (.inner, .hidden),
        "mlp.up_proj": (.inner, .hidden), "mlp.gate_up_proj": (.innerTwice, .hidden),
        "mlp.c_fc": (.inner, .hidden), "mlp.dense_h_to_4h": (.inner, .hidden),
        "mlp.down_proj": (.hidden, .inner), "mlp.c_proj": (.hidden, .inner),
        "mlp.dense_4h_to_h": (.hidden, .inner),
    ]

    /// See `ParameterSource`.
    func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws -> Parameter {
        var parts = name.split(separator: ".").map(String.init)
        let number = parts.count > 2 ? Int(parts[2]) : nil
        let layer = number.flatMap { layers.indices.contains($0) ? $0 : nil }
        if let layer { parts[2] = String(layers[layer]) }
        let old = parts.joined(separator: ".")
        let axes = layer == nil ? outside(shape) : inside(parts, shape)
        let kept = axes.map { axis in places(axis, layer ?? 0) }
        guard kept.contains(where: { $0 != nil }) else {
            let whole = try source.parameter(old, shape, initial)
            return Parameter(name: name, shape: shape, value: whole.value)
        }
        let wholeShape = zip(axes, shape).map { wholeSize($0) ?? $1 }
        let whole = try source.parameter(old, wholeShape, initial).value
        let columns = kept.last.flatMap { $0 } ?? Array(0..<whole.columns)
        let rows = shape.count > 1 ? kept[0] ?? Array(0..<whole.rows) : [0]
        let value = Matrix(uninitialized: rows.count, columns.count)
        for (row, from) in rows.enumerated() {
            for (column, place) in columns.enumerated() { value[row, column] = whole[from, place] }
        }
        return Parameter(name: name, shape: shape, value: value)
    }

    /// Embedding, positions and head have rows of the stream; the last norm is one.
    private func outside(_ shape: [Int]) -> [Axis] {
        shape.count > 1 ? [.whole, .hidden] : [.hidden]
    }

    private func inside(_ parts: [String], _ shape: [Int]) -> [Axis] {
        let module = parts[3...].dropLast().joined(separator: ".")
        guard let map = Self.maps[module] else {
            // Norms: of the stream, or of queries and keys over a head or the whole width.
            guard module.hasSuffix("q_norm") || module.hasSuffix("k_norm") else {
                return [.hidden]
            }
            guard configuration.modelType == "olmo2" else { return [.whole] }
            return module.hasSuffix("q_norm") ? [.queries] : [.keys]
        }
        guard shape.count > 1 else { return [map.to] }
        return configuration.modelType == "gpt2" ? [map.from, map.to] : [map.to, map.from]
    }

    /// The numbers that stay along a dimension; nil when all do.
    private func places(_ axis: Axis, _ layer: Int) -> [Int]? {
        guard let selection else { return nil }
        let headSize = configuration.headSize
        func channels(_ heads: [Int], step: Int = 1) -> [Int] {
            heads.flatMap { ($0 * step * headSize)..<(($0 + 1) * step * headSize) }
        }
        switch axis {
        case .whole: return nil
        case .hidden: return selection.hidden
        case .inner: return selection.inner[layer]
        case .innerTwice:
            let inner = selection.inner[layer]
            return inner + inner.map { $0 + configuration.intermediateSize }
        case .queries: return channels(selection.heads[layer])
        case .keys: return channels(selection.keyValueHeads[layer])
        case .fused:
            let wide = configuration.headCount * headSize
            let narrow = configuration.keyValueHeadCount * headSize
            let keys = channels(selection.keyValueHeads[layer])
            return channels(selection.heads[layer]) + keys.map { $0 + wide }
                + keys.map { $0 + wide + narrow }
        case .interleaved: return channels(selection.heads[layer], step: 3)
        }
    }

    private func wholeSize(_ axis: Axis) -> Int? {
        let c = configuration
        let (wide, narrow) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        return switch axis {
        case .whole: nil
        case .hidden: c.hiddenSize
        case .inner: c.intermediateSize
        case .innerTwice: 2 * c.intermediateSize
        case .queries: wide
        case .keys: narrow
        case .fused: wide + 2 * narrow
        case .interleaved: 3 * wide
        }
    }
}

extension TransformerModel {
    /// A model made of some layers of a checkpoint, each perhaps narrower.
    ///
    /// - Parameter sample: Token sequences on which the importance of channels and heads is measured, each
    ///   within the model's positions; used when the width is cut, and then needed.
    /// - Throws: `ModelError` when a layer is not there, sizes do not go together, or the sample is empty.
    public static func pruned(
        _ checkpoint: Checkpoint,
        to cut: ModelCut,
        sample: [[UInt32]] = []
    ) throws -> TransformerModel {
        let whole = checkpoint.configuration
        let configuration = try cut.configuration(of: whole, path: checkpoint.url.path)
        var selection: WidthSelection?
        if cut.cutsWidth {
            let usable = sample.filter {
                (1...whole.maxPositions).contains($0.count)
                    && $0.allSatisfy { Int($0) < whole.vocabularySize }
            }
            guard !usable.isEmpty else {
                throw ModelError(
                    .mismatch,
                    path: checkpoint.url.path,
                    "the width is cut without a sample to measure importance on",
                    remedy: "Give texts."
                )
            }
            selection = WidthSelection(
                ChannelImportance(try checkpoint.model(), usable),
                layers: cut.layers,
                from: whole,
                to: configuration
            )
        }
        return try TransformerModel(
            ArchitectureRegistry.make(configuration),
            from: CutParameters(
                source: checkpoint,
                configuration: whole,
                layers: cut.layers,
                selection: selection
            )
        )
    }
}
