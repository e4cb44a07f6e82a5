import Tensors

/// How much each channel and head of a model does on a sample, measured by what comes out of it
/// (Muralidharan and others 2024, "Compact language models via pruning and knowledge distillation",
/// section 2.2): means over the sample's tokens, which are summed here, since only their order matters.
struct ChannelImportance {
    /// By channel of the residual stream: |what a norm makes of it|, over all norms before a layer and
    /// the last one.
    private(set) var hidden: [Double]
    /// By layer and feed-forward channel: |what goes into the projection down|.
    private(set) var inner: [[Double]]
    /// By layer and head: the length of what it puts into the output projection.
    private(set) var heads: [[Double]]

    /// Tokens that are run together, about.
    private static let batchTokens = 2_048

    /// Runs a model over sequences.
    ///
    /// - Precondition: Every token is below the vocabulary's size, no sequence is empty or longer than the
    ///   model's positions.
    init(_ model: TransformerModel, _ sequences: [[UInt32]]) {
        let c = model.configuration
        hidden = Array(repeating: 0, count: c.hiddenSize)
        let rows = Array(repeating: 0.0, count: c.intermediateSize)
        inner = Array(repeating: rows, count: c.layerCount)
        heads = Array(repeating: Array(repeating: 0, count: c.headCount), count: c.layerCount)
        let runs = VarlenBatch.runs(of: sequences.indices, limit: Self.batchTokens) {
            sequences[$0].count
        }
        for run in runs { add(VarlenBatch(Array(sequences[run])), model) }
    }

    private mutating func add(_ batch: VarlenBatch, _ model: TransformerModel) {
        let c = model.configuration
        let x = model.embed(batch.tokens, positions: batch.positions)
        for (layer, block) in model.blocks.enumerated() {
            let context = BlockContext(batch)
            context.tape = BlockTape()
            block.forward(x, context)
            for input in block.layerInputs(context) { Self.addMagnitudes(input, to: &hidden) }
            Self.addLengths(context.kept("attention.attended"), c.headSize, to: &heads[layer])
            Self.addMagnitudes(block.activated(context), to: &inner[layer])
        }
        Self.addMagnitudes(model.normalized(x), to: &hidden)
    }

    private static func addMagnitudes(_ x: Matrix, to sums: inout [Double]) {
        sums.withUnsafeMutableBufferPointer { sums in
            for row in 0..<x.rows {
                let values = UnsafeBufferPointer(start: x.row(row), count: x.columns)
                for index in values.indices { sums[index] += Double(abs(values[index])) }
            }
        }
    }

    /// - Parameter size: Neighbouring columns that make up one vector.
    private static func addLengths(_ x: Matrix, _ size: Int, to sums: inout [Double]) {
        for row in 0..<x.rows {
            let values = UnsafeBufferPointer(start: x.row(row), count: x.columns)
            for head in sums.indices {
                var square: Float = 0
                for index in (head * size)..<((head + 1) * size) {
                    square += values[index] * values[index]
                }
                sums[head] += Double(square.squareRoot())
            }
        }
    }

    /// The `count` with the highest scores, by number; of equals the first.
    static func best(_ count: Int, of scores: [Double]) -> [Int] {
        scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(count).sorted()
    }
}
