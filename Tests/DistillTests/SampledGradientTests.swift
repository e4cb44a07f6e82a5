import Cache
import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

/// Random-sampling KD (arXiv 2503.16870): draws are right on average, a cut top-k is not.
@Suite("Sampled targets")
struct SampledGradientTests {
    private static let vocabulary = 60, width = 8, repeats = 10_000, draws = 12

    /// One state of each model, and their heads.
    private struct Models {
        let studentHead: Matrix, teacherHead: Matrix, student: Matrix, teacher: Matrix

        init() {
            var random = RandomNumbers(seed: 11, purpose: "sampled targets")
            func normal(_ rows: Int, _ deviation: Float) -> Matrix {
                let matrix = Matrix(uninitialized: rows, SampledGradientTests.width)
                matrix.fillNormal(deviation: deviation, using: &random)
                return matrix
            }
            studentHead = normal(SampledGradientTests.vocabulary, 0.6)
            teacherHead = normal(SampledGradientTests.vocabulary, 0.9)
            student = normal(1, 1)
            teacher = normal(1, 1)
        }

        /// The teacher's log-probabilities.
        var logProbs: [Double] {
            let logits = (0..<SampledGradientTests.vocabulary).map { token in
                (0..<SampledGradientTests.width).reduce(0.0) {
                    $0 + Double(teacher[0, $1] * teacherHead[token, $1])
                }
            }
            let partition = log(logits.reduce(0) { $0 + exp($1) })
            return logits.map { $0 - partition }
        }
    }

    private let models = Models()

    /// The same row so many times, with a target of its own each.
    private func gradients(_ rows: TeacherRows, count: Int) throws -> Matrix {
        func side(_ state: Matrix) -> SupervisedRows {
            SupervisedRows(
                hidden: state.gathered([Int](repeating: 0, count: count)),
                inputs: [UInt32](repeating: 0, count: count),
                labels: [UInt32](repeating: 0, count: count),
                offsets: [0, count]
            )
        }
        var settings = CriterionSettings(kdRate: 1, temperature: 1)
        switch rows {
        case .topK: (settings.teacherSignal, settings.topKTail) = (.topK, .renormalise)
        case .sampled: settings.teacherSignal = .sampled
        default: break
        }
        let criterion = try KnowledgeDistillation(
            CriterionContext(
                settings: settings,
                sizes: CriterionSizes(student: Self.width, teacher: Self.width),
                seed: 0
            )
        )
        let test = try Case(
            criterion: criterion,
            batch: CriterionBatch(
                student: side(models.student),
                teacher: side(models.teacher),
                teacherRows: rows
            ),
            head: models.studentHead,
            studentEmbedding: models.studentHead,
            teacherHead: models.teacherHead,
            teacherEmbedding: models.teacherHead
        )
        let values = try required(test.gradients().gradients["student/hidden"])
        // Each row's share of the mean; times their number it is the row's own gradient.
        return Matrix(values.map { $0 * Float(count) }, rows: count, columns: Self.width)
    }

    @Test("the expected gradient of draws is the full one, that of a top-k is not")
    func expectation() throws {
        let logs = models.logProbs
        let full = try gradients(.exact, count: 1)
        var random = RandomNumbers(seed: 5, purpose: "draws")
        var samples = SampledTokens()
        for _ in 0..<Self.repeats {
            samples.append(draws: Self.draws, of: logs, using: &random)
        }
        let each = try gradients(.sampled(samples), count: Self.repeats)
        let kept = logs.indices.sorted { logs[$0] > logs[$1] }.prefix(Self.draws)
        let cut = try gradients(
            .topK(
                ids: kept.map { UInt32($0) },
                logProbs: kept.map { Float(logs[$0]) },
                k: Self.draws
            ),
            count: 1
        )
        var (chiSquare, cutChiSquare, spread) = (0.0, 0.0, 0.0)
        for channel in 0..<Self.width {
            var (sum, squares) = (0.0, 0.0)
            for row in 0..<Self.repeats {
                let value = Double(each[row, channel])
                sum += value
                squares += value * value
            }
            let count = Double(Self.repeats)
            let mean = sum / count
            let variance = (squares / count - mean * mean) / (count - 1)
            spread += variance * count
            let gap = mean - Double(full[0, channel])
            #expect(abs(gap) < 4 * variance.squareRoot(), "channel \(channel)")
            chiSquare += gap * gap / variance
            let bias = Double(cut[0, channel] - full[0, channel])
            cutChiSquare += bias * bias / variance
        }
        // Eight channels: 26 is passed by chance once in a thousand seeds.
        #expect(chiSquare < 26)
        // A single draw's error is large: what was averaged out was there.
        #expect(spread.squareRoot() > 0.05)
        #expect(cutChiSquare > 1_000)
    }
}
