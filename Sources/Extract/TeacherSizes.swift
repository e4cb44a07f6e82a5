import Models
import Tensors

/// What parts of a teacher weigh, in elements, found without reading a weight.
struct TeacherSizes {
    /// Weights of the largest layer.
    let layer: Int
    /// Those of them that are in matrices, which bf16 products keep a second time.
    let layerMatrices: Int
    /// The largest tensor of a layer.
    let largestTensor: Int
    /// Learned position embeddings.
    let positions: Int
    /// Floats that one token of a group takes while it passes through a layer.
    let groupFloatsPerToken: Int

    init(
        layer: Int,
        layerMatrices: Int,
        largestTensor: Int,
        positions: Int,
        groupFloatsPerToken: Int
    ) {
        self.layer = layer
        self.layerMatrices = layerMatrices
        self.largestTensor = largestTensor
        self.positions = positions
        self.groupFloatsPerToken = groupFloatsPerToken
    }

    init(_ checkpoint: Checkpoint) throws {
        let architecture = checkpoint.architecture
        let c = checkpoint.configuration
        var counters: [Counter] = []
        for layer in Set([0, c.layerCount - 1]) {
            let counter = Counter(checkpoint)
            _ = try architecture.block(layer, from: counter)
            counters.append(counter)
        }
        layer = counters.map(\.elements).max() ?? 0
        layerMatrices = counters.map(\.inMatrices).max() ?? 0
        largestTensor = counters.map(\.largest).max() ?? 0
        let counter = Counter(checkpoint)
        _ = try architecture.positionEmbedding(from: counter)
        positions = counter.elements
        // Queries, keys, values and what attention made of them; the feed-forward's inner rows; normed
        // rows. One matrix that makes several of these at once has an output of its own besides.
        let fused = counters.map(\.mostOutputs).max() ?? 0
        groupFloatsPerToken =
            2 * c.headSize * (c.headCount + c.keyValueHeadCount) + 2 * c.intermediateSize
            + 2 * c.hiddenSize + (fused >= 2 * c.intermediateSize ? c.intermediateSize : 0)
    }

    /// Gives memory that nobody touches, so that it costs addresses only, and adds up its size.
    private final class Counter: ParameterSource {
        private let checkpoint: Checkpoint
        var elements = 0
        var inMatrices = 0
        var largest = 0
        var mostOutputs = 0

        init(_ checkpoint: Checkpoint) { self.checkpoint = checkpoint }

        func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws
            -> Parameter
        {
            // A size that only config.json has must not take even addresses.
            try checkpoint.check(name, shape)
            let columns = shape.last ?? 1
            let rows = shape.dropLast().reduce(1, *)
            elements += rows * columns
            largest = max(largest, rows * columns)
            if shape.count > 1 {
                inMatrices += rows * columns
                mostOutputs = max(mostOutputs, rows)
            }
            return Parameter(
                name: name,
                shape: shape,
                value: Matrix(uninitialized: rows, columns)
            )
        }
    }
}
