import CKernels
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

/// What one forward pass leaves for its backward pass.
public final class Tape {
    var batch: VarlenBatch?
    var blocks: [BlockTape] = []
    /// (T, d), the input of the final norm.
    var finalInput: Matrix?
    /// (T, d) states of the layers that were asked for: 0 is the embedding, i the output of block i.
    public internal(set) var layerStates: [Int: Matrix] = [:]
    /// (T, d) gradients by those states, which the backward pass adds to its own.
    public var layerGradients: [Int: Matrix] = [:]
    let keptLayers: Set<Int>

    /// An empty tape.
    ///
    /// - Parameter keptLayers: Layers whose states are kept in `layerStates`.
    public init(keeping keptLayers: Set<Int> = []) { self.keptLayers = keptLayers }

    func keep(_ x: Matrix, layer: Int) {
        if keptLayers.contains(layer) { layerStates[layer] = x.copied() }
    }

    /// Adds what flows in at a layer.
    func addGradient(to x: Matrix, layer: Int) {
        guard let gradient = layerGradients[layer] else { return }
        for row in 0..<x.rows { ck_add(x.row(row), gradient.row(row), x.columns) }
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
