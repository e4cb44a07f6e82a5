import Tensors

/// A causal language model that can be run and trained.
///
/// Hidden states are those after the final norm: the vectors that the head multiplies. The head
/// product is left to the caller, which does it in chunks of rows.
public protocol LanguageModel: AnyObject {
    /// The sizes, and what config.json says.
    var configuration: ModelConfiguration { get }
    /// Every weight once; a tied head is the embedding itself.
    var parameters: [Parameter] { get }
    /// [V, d].
    var inputEmbedding: Parameter { get }
    /// [V, d]; the same object as `inputEmbedding` when the two are tied.
    var outputHead: Parameter { get }

    /// What is trained: all weights, or low-rank factors under PEFT's names where there are some.
    var trainedParameters: [Parameter] { get }
    /// All weights as they are with their factors added.
    var mergedParameters: [Parameter] { get }

    /// Makes the weights ready for training, whose products are computed in that precision; to be called once
    /// what is trained has its gradients, before the first pass with a tape.
    func prepareTraining(_ compute: ComputeType)
    /// Takes note of changed weights, as after an optimiser step.
    func weightsChanged()

    /// Runs the model over sequences laid end to end.
    ///
    /// - Parameters:
    ///   - batch: T tokens; each sequence attends to itself alone.
    ///   - tape: Keeps what the backward pass needs. Nil for inference.
    /// - Returns: (T, d) float32, after the final norm.
    func hiddenStates(_ batch: VarlenBatch, tape: Tape?) -> Matrix

    /// Adds to the gradients of the parameters (`prepareGradient` was called on each).
    ///
    /// - Parameters:
    ///   - gradient: (T, d), of the loss with respect to the hidden states; overwritten.
    ///   - tape: What `hiddenStates` kept.
    func backward(_ gradient: Matrix, tape: Tape)
}

/// How one pass of training differs from one of inference.
public struct TrainingPass: Sendable, Equatable {
    /// The share of the embedding's output, and of what each layer adds to the stream, that is set to 0
    /// (`embd_pdrop` and `resid_pdrop` of GPT-2).
    public var dropout: Float = 0
    /// The share of attention's probabilities that is set to 0 (`attn_pdrop`, `attention_dropout`).
    public var attentionDropout: Float = 0
    /// What the masks are made from: another number for each micro-batch of each step.
    public var noise: UInt64 = 0
    /// Keeps the input of each block alone, and runs the block again on the way back: a third more
    /// arithmetic of the blocks, for a fraction of the memory (Chen and others 2016, "Training deep nets
    /// with sublinear memory cost").
    public var recomputesBlocks = false

    /// Nothing dropped, nothing computed twice.
    public init() {}
}

/// What one forward pass leaves for its backward pass.
public final class Tape {
    var batch: VarlenBatch?
    var blocks: [BlockTape] = []
    /// (T, d), the input of each block, where blocks are run again.
    var blockInputs: [Matrix] = []
    let pass: TrainingPass
    /// (T, d), the input of the final norm.
    var finalInput: Matrix?
    /// (T, d) states of the layers that were asked for: 0 is the embedding, i the output of block i.
    public internal(set) var layerStates: [Int: Matrix] = [:]
    /// (T, d) gradients by those states, which the backward pass adds to its own.
    public var layerGradients: [Int: Matrix] = [:]
    let keptLayers: Set<Int>
    /// Whether the way back follows.
    let isTraining: Bool
    /// Called on the way back with parameters whose gradients this pass adds no more to: of the final norm
    /// and a head of its own, of each block from the last to the first, at the end of the embeddings.
    public var gradientsDone: (([Parameter]) -> Void)?

    /// An empty tape.
    ///
    /// - Parameter keptLayers: Layers whose states are kept in `layerStates`.
    public init(keeping keptLayers: Set<Int> = [], pass: TrainingPass = TrainingPass()) {
        self.keptLayers = keptLayers
        self.pass = pass
        isTraining = true
    }

    /// A tape of a pass that nobody goes back: nothing is dropped, and only those states are kept.
    ///
    /// - Parameter keptLayers: Layers whose states are kept in `layerStates`.
    public init(watching keptLayers: Set<Int>) {
        self.keptLayers = keptLayers
        pass = TrainingPass()
        isTraining = false
    }

    /// What block `index` is told, with room for what it leaves.
    func context(ofBlock index: Int, _ batch: VarlenBatch) -> BlockContext {
        let context = BlockContext(batch)
        if isTraining { context.dropping = (pass, key(index + 1)) }
        return context
    }

    /// The mask of the embedding's output.
    var embeddingDropout: Dropout { Dropout(rate: pass.dropout, noise: key(0)) }

    private func key(_ place: Int) -> UInt64 {
        var random = RandomNumbers(seed: pass.noise, purpose: "dropout", counter: UInt64(place))
        return random.next()
    }

    func keep(_ x: Matrix, layer: Int) {
        if keptLayers.contains(layer) { layerStates[layer] = x.copied() }
    }

    /// Adds what flows in at a layer.
    func addGradient(to x: Matrix, layer: Int) {
        layerGradients[layer]?.add(to: x)
    }
}

/// What one block leaves for its backward pass, by name.
struct BlockTape {
    var matrices: [String: Matrix] = [:]

    subscript(_ name: String) -> Matrix {
        get {
            guard let matrix = matrices[name] else {
                preconditionFailure("the forward pass kept no \(name)")
            }
            return matrix
        }
        set { matrices[name] = newValue }
    }
}
