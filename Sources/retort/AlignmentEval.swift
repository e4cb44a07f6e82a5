import Cache
import Distill
import Foundation
import Models
import Tokenizers

/// What the cross-model attention of a finished run matches, measured on a cache's split.
struct AlignmentEval {
    private let settings: DistillSettings
    private let reader: CacheReader
    private let limit: Int

    /// Nil where the student is not that of a run that has learnt an alignment, by the run's own files.
    ///
    /// - Parameters:
    ///   - student: A run's `student/` directory.
    ///   - reader: The cache to measure on.
    init?(studentAt student: String, cache reader: CacheReader, _ eval: EvalSettings) {
        guard let found = DistillSettings.resolved(ofStudentAt: student),
            found.criterion == CrossModelDualSpace.name
        else { return nil }
        let run = URL(fileURLWithPath: student).deletingLastPathComponent().path
        var settings = found.finished(in: run)
        guard let projectors = settings.projectorsFrom,
            FileManager.default.fileExists(atPath: projectors)
        else { return nil }
        settings.cache = reader.directory.path
        (settings.split, settings.heldOutSplit) = (eval.split, eval.split)
        // Where the data lay then says nothing now.
        settings.dataset = nil
        (self.settings, self.reader) = (settings, reader)
        limit = eval.limit ?? .max
    }

    /// Adds how well the tokens are matched to a model's figures; says so where the projectors are of another
    /// teacher than this cache's.
    ///
    /// - Returns: The first examples as small as a map is, else the very first, cut.
    /// - Throws: `Failure` (75) where a stop was asked for.
    func run(
        _ model: TransformerModel,
        _ tokenizer: Tokenizer,
        into found: inout Evaluator.Evaluation
    ) throws -> [ExampleAlignment] {
        var measured = found
        do {
            let maps = try measure(model, tokenizer, &measured)
            found = measured
            return maps
        } catch let failure as Failure {
            throw failure
        } catch {
            Console.say("eval: \(found.report.name): no alignment is measured: \(error)")
            return []
        }
    }

    private func measure(
        _ model: TransformerModel,
        _ tokenizer: Tokenizer,
        _ found: inout Evaluator.Evaluation
    ) throws -> [ExampleAlignment] {
        var maps: [ExampleAlignment] = []
        var first: ExampleAlignment?
        // Nothing is trained: what training would need of memory does not matter.
        let trainer = try Trainer(
            settings: settings,
            model: model,
            tokenizer: tokenizer,
            cache: reader,
            memory: .max
        )
        try trainer.alignments(limit: limit, readable: true) { example in
            try EvalStage.stopIfAsked()
            found.add(example)
            first = first ?? example
            let size = max(example.student.labels.count, example.teacher.labels.count)
            if maps.count < EvalMaps.examples, size <= EvalMaps.positions { maps.append(example) }
        }
        found.finishAlignment()
        return maps.isEmpty ? first.map { [$0.clipped] } ?? [] : maps
    }
}
