import Foundation
import Tensors

/// How far a projected state of the student is from the teacher's.
public protocol FeatureDistance: SendableMetatype {
    /// The criterion's name in settings files, and one line for lists.
    static var name: String { get }
    /// See `name`.
    static var summary: String { get }

    /// One row's loss.
    ///
    /// - Parameters:
    ///   - g: The student's state in the teacher's space, (count).
    ///   - h: The teacher's, (count).
    ///   - weight: Scales the gradient.
    ///   - gradient: (count), overwritten with the gradient by `g`.
    static func row(
        _ g: UnsafePointer<Float>,
        _ h: UnsafePointer<Float>,
        _ count: Int,
        _ weight: Float,
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Double
}

/// The mean over channels of (g - h)^2.
public enum MeanSquare: FeatureDistance {
    /// The name in settings files.
    public static let name = "hidden_mse"
    /// One line for lists.
    public static let summary = "mean square of hidden states of chosen layers; one tokenizer"

    /// One row's loss and gradient.
    public static func row(
        _ g: UnsafePointer<Float>,
        _ h: UnsafePointer<Float>,
        _ count: Int,
        _ weight: Float,
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Double {
        var gaps = 0.0
        for i in 0..<count { gaps += (Double(g[i]) - Double(h[i])) * (Double(g[i]) - Double(h[i])) }
        let factor = 2 * weight / Float(count)
        for i in 0..<count { gradient[i] = factor * (g[i] - h[i]) }
        return gaps / Double(count)
    }
}

/// 1 - cos(g, h).
public enum CosineDistance: FeatureDistance {
    /// The name in settings files.
    public static let name = "hidden_cosine"
    /// One line for lists.
    public static let summary = "cosine of hidden states of chosen layers; one tokenizer"

    /// Norms are taken to be this at least.
    private static let smallestNorm = 1e-8

    /// One row's loss and gradient.
    public static func row(
        _ g: UnsafePointer<Float>,
        _ h: UnsafePointer<Float>,
        _ count: Int,
        _ weight: Float,
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Double {
        var (gg, hh, gh) = (0.0, 0.0, 0.0)
        for i in 0..<count {
            let (a, b) = (Double(g[i]), Double(h[i]))
            gg += a * a
            hh += b * b
            gh += a * b
        }
        let norms = (max(smallestNorm, gg.squareRoot()), max(smallestNorm, hh.squareRoot()))
        let cosine = gh / (norms.0 * norms.1)
        // Below the floor the norm is a constant.
        let pull = gg.squareRoot() > smallestNorm ? cosine / (norms.0 * norms.0) : 0
        let push = 1 / (norms.0 * norms.1)
        for i in 0..<count {
            gradient[i] = weight * Float(pull * Double(g[i]) - push * Double(h[i]))
        }
        return 1 - cosine
    }
}

/// `hidden_mse`.
public typealias HiddenMeanSquare = HiddenFeatures<MeanSquare>
/// `hidden_cosine`.
public typealias HiddenCosine = HiddenFeatures<CosineDistance>

/// Plain feature distillation: states of the student's layers, carried into the teacher's space by a
/// projector for each pair of layers, and held against the teacher's.
public final class HiddenFeatures<Distance: FeatureDistance>: Criterion {
    /// The name in settings files.
    public static var name: String { Distance.name }
    /// One line for lists.
    public static var summary: String { Distance.summary }
    /// Hidden states of paired positions.
    public static var needs: CriterionNeeds { [.pairedPositions, .hiddenStates, .layers] }
    /// One structure for all pairs of layers.
    public static var projectorNames: [String] { ["s2t"] }
    /// d -> D: `s2t`, or one for each pair of layers.
    public let projectors: [Projector]
    private let settings: CriterionSettings

    /// Draws the projectors.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        let pairs = settings.layers
        guard !pairs.isEmpty, Set(pairs).count == pairs.count else {
            throw DistillError.badSetting(
                key: "layers",
                value: pairs.isEmpty ? "none" : "one pair twice",
                remedy: "name each pair once, such as [\"final:final\"] or [\"2:10\", \"4:20\"]"
            )
        }
        projectors = try pairs.map { pair in
            try context.projector(
                pairs.count == 1 ? "s2t" : "s2t_\(pair.suffix)",
                inputs: context.sizes.student,
                outputs: context.sizes.teacher,
                structure: "s2t"
            )
        }
    }

    /// Losses and gradients of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        try requirePairs(batch, criterion: Self.name)
        let sums = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: (1 - settings.kdRate) * step.over,
            parts: [],
            dHidden: gradients?.hidden
        )
        let share = 1 / Double(projectors.count)
        let weight = settings.kdRate * step.over * Float(share)
        for layer in gradients?.layers.values ?? [:].values { layer.fill(0) }
        var total = 0.0
        for (pair, projector) in zip(settings.layers, projectors) {
            let student = try states(
                pair.student,
                batch.student.hidden,
                batch.studentLayers,
                "the student's"
            )
            let teacher = try states(
                pair.teacher,
                batch.teacher.hidden,
                batch.teacherLayers,
                "the teacher's"
            )
            let g = projector.apply(student)
            let out = g.out
            let dOut = Matrix(uninitialized: out.rows, out.columns)
            var losses = [Double](repeating: 0, count: out.rows)
            losses.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let losses = buffer
                parallelRanges(out.rows) { rows, _ in
                    for row in rows {
                        losses[row] = Distance.row(
                            out.row(row),
                            teacher.row(row),
                            out.columns,
                            weight,
                            dOut.row(row)
                        )
                    }
                }
            }
            total += losses.reduce(0, +) * share
            guard let gradients else { continue }
            let dX = pair.student.map { gradients.layers[$0] } ?? gradients.hidden
            projector.backward(g, dOut: dOut, dX: dX)
        }
        return CriterionSums(
            ["ce": sums.crossEntropy, "kd": total],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }

    private func states(
        _ layer: Int?,
        _ final: Matrix,
        _ layers: [Int: Matrix],
        _ side: String
    ) throws -> Matrix {
        guard let layer else { return final }
        guard let states = layers[layer] else {
            throw DistillError.unfit("there are no states of \(side) layer \(layer)")
        }
        return states
    }
}
