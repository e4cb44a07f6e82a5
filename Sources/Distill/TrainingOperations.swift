import Foundation
import Models
import Synchronization
import Tensors

/// The useful floating-point operations of training steps.
///
/// A product of (T, in) by (in, out) takes 2 T in out; on the way back come two more of that size, for the
/// gradient by its input and for its weight's. So a step takes
///
///     6 P T  +  6 L w sum over sequences of length^2  +  6 V d n  +  2 V_t D m
///
/// or 4 instead of 6 for weights that are not trained, whose low-rank factors count as weights of their own;
/// with P the weights of the student's matrices but for its embeddings and head, T its tokens, L its layers,
/// w the width of all attention heads together; V d its head, n its supervised positions; and V_t D the
/// teacher's head, m its positions, where the criterion reads it. The second term is the two products of
/// attention, 12 T w length/2 a layer, of which causal attention needs one half. What a criterion computes
/// besides, norms, and the optimiser count as time and not as operations.
struct TrainingOperations {
    /// 6 P, or 4 P and 6 times the factors; and L w.
    let weights: Int, attention: Int
    /// 6 V d, or 4 V d.
    let head: Int
    /// V_t D; 0 where it is not read.
    let teacherHead: Int

    /// Of tables whose rows are taken, not multiplied, learned positions are GPT-2's `wpe` alone.
    ///
    /// - Parameter teacher: The teacher's head, (0, D) where it is not read.
    init(_ model: any LanguageModel, teacher: HeadProduct) {
        let configuration = model.configuration
        let matrices = model.parameters.filter {
            $0 !== model.inputEmbedding && $0 !== model.outputHead && $0.shape.count > 1
                && !$0.name.hasSuffix("wpe.weight")
        }
        func count(_ parameters: [Parameter]) -> Int {
            parameters.reduce(0) { $0 + $1.value.count }
        }
        let trained = model.trainedParameters
        let isWhole = trained.contains { $0 === model.outputHead }
        weights = isWhole ? 6 * count(matrices) : 4 * count(matrices) + 6 * count(trained)
        attention = configuration.layerCount * configuration.headCount * configuration.headSize
        head = (isWhole ? 6 : 4) * model.outputHead.value.count
        teacherHead = teacher.weight.count
    }

    /// Of one step.
    func count(_ batches: [MicroBatch]) -> Double {
        batches.reduce(0) { sum, batch in
            let offsets = batch.sequences.offsets
            let squares = zip(offsets, offsets.dropFirst()).reduce(0) {
                $0 + ($1.1 - $1.0) * ($1.1 - $1.0)
            }
            return sum + Double(weights) * Double(batch.sequences.tokenCount)
                + 6 * Double(attention) * Double(squares)
                + Double(head) * Double(batch.rows.count)
                + 2 * Double(teacherHead) * Double(batch.teacher.count)
        }
    }
}

/// What a plain matrix product reaches on this machine: the best of about 0.2 s, measured once.
enum PlainProduct {
    private static let known = Mutex<[ComputeType: Double]>([:])
    private static let seconds = 0.2
    /// (rows, size) by (size, size).
    private static let rows = 512, size = 1024

    /// Floating-point operations a second, in a precision.
    static func rate(_ compute: ComputeType) -> Double {
        known.withLock { known in
            if let rate = known[compute] { return rate }
            let rate = measure(compute)
            known[compute] = rate
            return rate
        }
    }

    private static func measure(_ compute: ComputeType) -> Double {
        let weight = Matrix(zeros: size, size)
        let (x, out) = (Matrix(zeros: rows, size), Matrix(zeros: rows, size))
        weight.fill(0.5)
        x.fill(0.25)
        let product = WeightProducts(weight, compute: compute)
        product.multiply(x, into: out)
        let operations = 2 * Double(rows) * Double(size) * Double(size)
        let start = Date()
        var best = 0.0
        while Date().timeIntervalSince(start) < seconds {
            let began = Date()
            product.multiply(x, into: out)
            best = max(best, operations / max(1e-9, Date().timeIntervalSince(began)))
        }
        return best
    }
}
