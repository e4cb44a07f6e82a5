import Models
import Tensors

/// Fine-tuning on token sequences that lie in memory, by the steps of any run: what parity tests and
/// benchmarks hold against other code.
package final class PlainTraining {
    /// A sequence and the positions of it whose next token is a label.
    package struct Example: Sendable {
        let tokens: [UInt32]
        let supervised: Range<Int>

        /// - Precondition: `supervised` ends before the last token.
        package init(tokens: [UInt32], supervised: Range<Int>) {
            precondition(supervised.lowerBound >= 0 && supervised.upperBound < tokens.count)
            self.tokens = tokens
            self.supervised = supervised
        }
    }

    /// What one step came to.
    package struct Result {
        /// The mean cross-entropy of the supervised positions, before the step.
        package let loss: Double
        /// The gradient's norm before clipping.
        package let gradientNorm: Double
    }

    let training: StudentTraining

    /// - Parameter settings: Precision, rates and the like; cache, output and criterion are not read.
    /// - Throws: `DistillError` for settings that make no sense.
    package init(model: any LanguageModel, settings: DistillSettings) throws {
        var settings = settings
        settings.criterion = SupervisedFineTuning.name
        training = try StudentTraining(
            model: model,
            teacher: CachedTeacher(nothingOf: model.configuration.hiddenSize),
            settings: settings
        )
    }

    /// The gradients of one step over all micro-batches, by the names of what is trained; nothing is changed.
    package func gradients(_ batches: [[Example]]) throws -> [String: Matrix] {
        _ = try training.accumulate(microBatches(batches), number: 0)
        let trained = training.model.trainedParameters
        defer { for parameter in trained { parameter.gradient?.fill(0) } }
        return Dictionary(
            trained.compactMap { parameter in
                parameter.gradient.map { (parameter.name, $0.copied()) }
            },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// One optimiser step over all micro-batches.
    package func step(_ batches: [[Example]], factor: Float = 1) throws -> Result {
        let result = try training.step(microBatches(batches), factor: factor)
        return Result(
            loss: result.sums.means["ce"] ?? .nan,
            gradientNorm: result.outcome.gradientNorm
        )
    }

    private func microBatches(_ batches: [[Example]]) -> [MicroBatch] {
        batches.enumerated().map { place, examples in
            var batch = MicroBatch(examples)
            batch.place = place
            return batch
        }
    }
}

extension MicroBatch {
    /// A batch without a teacher.
    fileprivate init(_ examples: [PlainTraining.Example]) {
        sequences = VarlenBatch(examples.map(\.tokens))
        let starts = sequences.offsets
        rows = zip(starts, examples).flatMap { start, example in
            example.supervised.map { start + $0 }
        }
        inputs = examples.flatMap { Array($0.tokens[$0.supervised]) }
        labels = examples.flatMap { example in example.supervised.map { example.tokens[$0 + 1] } }
        offsets = examples.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.supervised.count) }
        teacher = SupervisedRows(
            hidden: Matrix(zeros: 0, 0),
            inputs: [],
            labels: [],
            offsets: examples.map { _ in 0 } + [0]
        )
        (teacherRows, teacherLayers) = (.exact, [:])
        (records, cut, dropped) = ([], 0, 0)
    }
}
