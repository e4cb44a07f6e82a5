import Tensors

/// Where a layer gets its weights: a checkpoint, or random numbers for a new model.
public protocol ParameterSource {
    /// The weight of that name, which must have that shape.
    func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws -> Parameter
}

/// What a weight of a new model starts as.
///
/// A checkpoint does not look at it.
public enum InitialValues: Sendable, Equatable {
    /// Normal with mean 0.
    case normal(Float)
    /// All zeros.
    case zeros
    /// All ones.
    case ones
}

/// One family of models: how its parts are named and put together.
public protocol Architecture {
    /// The sizes.
    var configuration: ModelConfiguration { get }
    /// [V, d].
    func tokenEmbedding(from source: any ParameterSource) throws -> Parameter
    /// [positions, d], nil when positions enter elsewhere.
    func positionEmbedding(from source: any ParameterSource) throws -> Parameter?
    /// The block at an index, its weights loaded.
    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock
    /// The norm before the head.
    func finalNorm(from source: any ParameterSource) throws -> FinalNorm
    /// [V, d] of a head that is not tied.
    func head(from source: any ParameterSource) throws -> Parameter
}

/// The norm before the head, as extraction needs it by itself.
public struct FinalNorm {
    let norm: Norm
    /// (rows, d) -> (rows, d).
    public func callAsFunction(_ x: Matrix) -> Matrix { norm(x) }
}

/// One layer of a transformer: attention and feed-forward around a residual stream.
public protocol TransformerBlock: AnyObject {
    /// Its weights.
    var parameters: [Parameter] { get }
    /// Makes the weights ready for products in that precision.
    func pack(_ compute: ComputeType)
    /// Adds what the block computes to x (T, d).
    func forward(_ x: Matrix, _ context: BlockContext)
    /// x holds the gradient of the output on entry, that of the input on return.
    func backward(_ x: Matrix, _ context: BlockContext)
}

/// What a block is told of the tokens that it works on.
public final class BlockContext {
    let offsets: [Int]
    let positions: [Int32]
    var tape: BlockTape?
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
        return attention(q, k, v, offsets: offsets, logPartitions: logPartitions)
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
