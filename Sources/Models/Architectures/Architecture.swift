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

/// The names of the weights outside the blocks, as a family's checkpoints have them.
struct ModelKeys {
    let embedding: String
    var positions: String?
    let finalNorm: String
    var head = "lm_head.weight"
}

/// One family of models: how its parts are named and put together.
public protocol Architecture: Sendable {
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
    /// The names that checkpoints give a weight, the usual one first.
    func storedNames(_ name: String) -> [String]
    /// Whether a tensor of a checkpoint has no place in the model, and should have none.
    func ignores(_ tensor: String) -> Bool
}

extension Architecture {
    /// The name itself.
    public func storedNames(_ name: String) -> [String] { [name] }
    /// None is ignored.
    public func ignores(_ tensor: String) -> Bool { false }
}

/// A family whose files say the names and the norm, and leave the rest to this.
protocol NamedArchitecture: Architecture {
    var keys: ModelKeys { get }
    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm
}

extension NamedArchitecture {
    func tokenEmbedding(from source: any ParameterSource) throws -> Parameter {
        try source.parameter(
            keys.embedding,
            [configuration.vocabularySize, configuration.hiddenSize],
            .normal(0.02)
        )
    }

    func positionEmbedding(from source: any ParameterSource) throws -> Parameter? {
        try keys.positions.map {
            try source.parameter(
                $0,
                [configuration.maxPositions, configuration.hiddenSize],
                .normal(0.02)
            )
        }
    }

    func finalNorm(from source: any ParameterSource) throws -> FinalNorm {
        FinalNorm(norm: try norm(LayerMaker("", configuration, source), keys.finalNorm))
    }

    func head(from source: any ParameterSource) throws -> Parameter {
        try source.parameter(
            keys.head,
            [configuration.vocabularySize, configuration.hiddenSize],
            .normal(0.02)
        )
    }
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
    /// Its linear maps.
    var linears: [Linear] { get }
    /// Adds what the block computes to x (T, d).
    func forward(_ x: Matrix, _ context: BlockContext)
    /// x holds the gradient of the output on entry, that of the input on return.
    func backward(_ x: Matrix, _ context: BlockContext)
    /// What attention and the feed-forward layer got in the pass that the context's tape is of, (T, d) each.
    func layerInputs(_ context: BlockContext) -> [Matrix]
    /// What went into the last map of the feed-forward layer in that pass, (T, intermediateSize).
    func activated(_ context: BlockContext) -> Matrix
}

extension TransformerBlock {
    /// Makes the weights ready for inference in that precision; not for training, which changes them.
    public func pack(_ compute: ComputeType) {
        for linear in linears { linear.pack(compute) }
    }
}
