import Tensors

/// What a block is told of the tokens that it works on.
public final class BlockContext {
    let offsets: [Int]
    let positions: [Int32]
    var tape: BlockTape?
    /// What training drops, and the key of this block's masks.
    var dropping: (options: TrainingPass, key: UInt64)?
    /// Keys and values are kept here while generating; `slots` says where each sequence's go.
    var cache: KeyValueCache.Layer?
    var slots: [Int] = []
    /// True when every sequence is one new token that continues its slot.
    var isDecoding = false

    /// The context of sequences laid end to end.
    public init(_ batch: VarlenBatch) {
        offsets = batch.offsets
        positions = batch.positions
    }

    init(decodingAt positions: [Int32], slots: [Int], cache: KeyValueCache.Layer) {
        offsets = Array(0...positions.count)
        self.positions = positions
        self.slots = slots
        self.cache = cache
        isDecoding = true
    }

    /// What masks inside layers are made from; nil where nothing is dropped.
    var noise: UInt64? { dropping?.key }

    /// The mask of what a branch adds to the stream.
    func dropout(_ branch: String) -> Dropout? {
        guard let dropping, dropping.options.dropout > 0 else { return nil }
        return Dropout(
            rate: dropping.options.dropout,
            noise: dropping.key &+ (branch == "attention" ? 1 : 2)
        )
    }

    /// The mask of attention's probabilities.
    var attentionDropout: Dropout? {
        guard let dropping, dropping.options.attentionDropout > 0 else { return nil }
        return Dropout(rate: dropping.options.attentionDropout, noise: dropping.key &+ 3)
    }

    /// Attention as the context asks: over whole sequences, or one new token against the cache.
    func attend(_ attention: Attention, _ q: Matrix, _ k: Matrix, _ v: Matrix) -> Matrix {
        if let cache {
            for sequence in slots.indices {
                let rows = offsets[sequence]..<offsets[sequence + 1]
                guard let first = rows.first else { continue }
                cache.store(
                    k,
                    v,
                    rows: rows,
                    size: attention.headSize,
                    step: attention.headStep,
                    slot: slots[sequence],
                    position: Int(positions[first])
                )
            }
            if isDecoding {
                return attention.decode(
                    q,
                    cache,
                    slots: slots,
                    lengths: positions.map { Int($0) + 1 }
                )
            }
        }
        var logPartitions: Matrix?
        if tape != nil {
            let matrix = Matrix(uninitialized: attention.headCount, q.rows)
            tape?["logPartitions"] = matrix
            logPartitions = matrix
        }
        return attention(
            q,
            k,
            v,
            offsets: offsets,
            dropout: attentionDropout,
            logPartitions: logPartitions
        )
    }

    /// Keeps a matrix for the backward pass, if there will be one.
    func keep(_ name: String, _ matrix: Matrix) {
        tape?[name] = matrix
    }

    func kept(_ name: String) -> Matrix {
        guard let tape else { preconditionFailure("the forward pass kept nothing") }
        return tape[name]
    }
}
