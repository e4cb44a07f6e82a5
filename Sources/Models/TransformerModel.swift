import CKernels
import Tensors

/// A whole model in memory, put together from the parts of its architecture.
public final class TransformerModel: LanguageModel {
    let architecture: any Architecture
    /// [V, d].
    public let inputEmbedding: Parameter
    /// [V, d].
    public let outputHead: Parameter
    private let positionEmbedding: Parameter?
    let blocks: [any TransformerBlock]
    private let finalNorm: Norm

    /// Loads every part from `source`.
    public init(_ architecture: any Architecture, from source: any ParameterSource) throws {
        self.architecture = architecture
        inputEmbedding = try architecture.tokenEmbedding(from: source)
        positionEmbedding = try architecture.positionEmbedding(from: source)
        blocks = try (0..<architecture.configuration.layerCount).map {
            try architecture.block($0, from: source)
        }
        finalNorm = try architecture.finalNorm(from: source).norm
        outputHead =
            architecture.configuration.tiesEmbeddings
            ? inputEmbedding : try architecture.head(from: source)
    }

    /// The sizes.
    public var configuration: ModelConfiguration { architecture.configuration }

    /// Every weight once, in a fixed order.
    public var parameters: [Parameter] {
        var all = [inputEmbedding]
        if let positionEmbedding { all.append(positionEmbedding) }
        for block in blocks { all += block.parameters }
        all += finalNorm.parameters
        if outputHead !== inputEmbedding { all.append(outputHead) }
        return all
    }

    /// Makes the block weights ready for inference in that precision; not for training, which
    /// changes the weights.
    public func pack(_ compute: ComputeType) {
        for block in blocks { block.pack(compute) }
    }

    /// See `LanguageModel`.
    public func prepareTraining(_ compute: ComputeType) {
        for block in blocks {
            for linear in block.linears { linear.prepareTraining(compute) }
        }
    }

    /// See `LanguageModel`.
    public func weightsChanged() {
        for block in blocks {
            for linear in block.linears { linear.weightsChanged() }
        }
    }

    /// (T, d): the rows of the embedding, and of the positions where the model learns them.
    func embed(_ tokens: [UInt32], positions: [Int32]) -> Matrix {
        embedTokens(
            tokens,
            positions: positions,
            inputEmbedding,
            positionEmbedding,
            scale: configuration.embeddingScale
        )
    }

    /// See `LanguageModel`.
    public func hiddenStates(_ batch: VarlenBatch, tape: Tape?) -> Matrix {
        let x = embed(batch.tokens, positions: batch.positions)
        tape?.embeddingDropout.apply(to: x)
        tape?.keep(x, layer: 0)
        for (index, block) in blocks.enumerated() {
            let context = tape?.context(ofBlock: index, batch) ?? BlockContext(batch)
            if let tape, tape.isTraining {
                if tape.pass.recomputesBlocks {
                    tape.blockInputs.append(x.copied())
                } else {
                    context.tape = BlockTape()
                }
            }
            block.forward(x, context)
            if let kept = context.tape { tape?.blocks.append(kept) }
            tape?.keep(x, layer: index + 1)
        }
        if let tape, tape.isTraining { (tape.batch, tape.finalInput) = (batch, x) }
        return finalNorm(x)
    }

    /// See `LanguageModel`.
    public func backward(_ gradient: Matrix, tape: Tape) {
        guard let batch = tape.batch, let input = tape.finalInput else {
            preconditionFailure("backward before forward")
        }
        let x = Matrix(zeros: gradient.rows, gradient.columns)
        finalNorm.backward(gradient, input: input, into: x)
        tape.gradientsDone?(
            finalNorm.parameters + (outputHead === inputEmbedding ? [] : [outputHead])
        )
        for index in blocks.indices.reversed() {
            let context = tape.context(ofBlock: index, batch)
            if tape.pass.recomputesBlocks {
                context.tape = BlockTape()
                blocks[index].forward(tape.blockInputs.removeLast(), context)
            } else {
                context.tape = tape.blocks.removeLast()
            }
            tape.addGradient(to: x, layer: index + 1)
            blocks[index].backward(x, context)
            tape.gradientsDone?(
                blocks[index].parameters
                    + blocks[index].linears.flatMap { $0.lora?.parameters ?? [] }
            )
        }
        tape.addGradient(to: x, layer: 0)
        tape.embeddingDropout.apply(to: x)
        let positions = batch.positions
        for (row, token) in batch.tokens.enumerated() {
            if let sum = inputEmbedding.gradient {
                ck_axpy(
                    sum.row(Int(token)),
                    x.row(row),
                    configuration.embeddingScale,
                    x.columns
                )
            }
            if let sum = positionEmbedding?.gradient {
                ck_add(sum.row(Int(positions[row])), x.row(row), x.columns)
            }
        }
        tape.gradientsDone?([inputEmbedding] + (positionEmbedding.map { [$0] } ?? []))
        gradient.assign(x)
    }

    /// Runs tokens through the model while keeping keys and values: a prompt a sequence when not
    /// decoding, else one token a sequence.
    func hiddenStates(
        _ tokens: [UInt32],
        positions: [Int32],
        cache: KeyValueCache,
        context makeContext: (KeyValueCache.Layer) -> BlockContext
    ) -> Matrix {
        let x = embed(tokens, positions: positions)
        for (index, block) in blocks.enumerated() {
            block.forward(x, makeContext(cache.layers[index]))
        }
        return x
    }

    func normalized(_ x: Matrix) -> Matrix { finalNorm(x) }
}

/// (T, d): the rows of the token embedding times `scale`, plus those of the positions where a model
/// learns them.
///
/// - Parameter scale: The configuration's `embeddingScale`.
/// - Precondition: Every token is below the vocabulary's size, every position below the positions'.
public func embed(
    _ batch: VarlenBatch,
    _ table: Parameter,
    _ positions: Parameter?,
    scale: Float
) -> Matrix {
    embedTokens(batch.tokens, positions: batch.positions, table, positions, scale: scale)
}

private func embedTokens(
    _ tokens: [UInt32],
    positions: [Int32],
    _ table: Parameter,
    _ places: Parameter?,
    scale: Float
) -> Matrix {
    let d = table.value.columns
    let x = Matrix(uninitialized: tokens.count, d)
    for (row, token) in tokens.enumerated() {
        precondition(Int(token) < table.value.rows, "token \(token) of \(table.value.rows)")
        if scale == 1 {
            x.row(row).update(from: table.value.row(Int(token)), count: d)
        } else {
            x.row(row).initialize(repeating: 0, count: d)
            ck_axpy(x.row(row), table.value.row(Int(token)), scale, d)
        }
        guard let places else { continue }
        let position = Int(positions[row])
        precondition(position < places.value.rows, "position \(position) of \(places.value.rows)")
        ck_add(x.row(row), places.value.row(position), d)
    }
    return x
}
