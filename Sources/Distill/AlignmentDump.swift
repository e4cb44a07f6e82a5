import Cache
import Foundation
import Tensors
import Tokenizers

/// What cross-model attention has learnt to match in one example.
public struct ExampleAlignment: Codable, Sendable, Equatable {
    /// One model's supervised positions.
    public struct Side: Codable, Sendable, Equatable {
        /// The token at each position.
        public var inputs: [String]
        /// The token after it.
        public var labels: [String]
    }

    /// The example's id in the cache.
    public var id: String
    /// n positions of the student.
    public var student: Side
    /// m positions of the teacher.
    public var teacher: Side
    /// n rows of m weights: where each of the student's positions looks among the teacher's.
    public var toStudent: [[Double]]
    /// m rows of n weights: where each of the teacher's positions looks among the student's.
    public var toTeacher: [[Double]]

    /// How often the student looks at the same place of the text.
    public var overlap: AlignmentOverlap

    /// The keys of the file.
    public enum CodingKeys: String, CodingKey {
        /// As the properties are named.
        case id, student, teacher, overlap
        /// Teacher to student.
        case toStudent = "t2s"
        /// Student to teacher.
        case toTeacher = "s2t"
    }
}

extension Trainer {
    /// Calls `body` with the alignments of the held-out examples, as the projectors and the student are now.
    ///
    /// - Parameters:
    ///   - limit: Examples at most, the first of the split.
    ///   - readable: Whether tokens are told as a person reads them, not as the vocabulary spells them.
    /// - Throws: `DistillError.unfit` where the criterion learns none, or there are no held-out examples;
    ///   `CacheError`; whatever `body` throws.
    public func alignments(
        limit: Int,
        readable: Bool = false,
        _ body: (ExampleAlignment) throws -> Void
    ) throws {
        guard let criterion = training.criterion as? CrossModelDualSpace else {
            throw DistillError.unfit(
                "\(settings.criterion) learns no alignment; \(CrossModelDualSpace.name) does"
            )
        }
        try reader.requireExamples(split: settings.heldOutSplit)
        let teacherTokenizer = try Evaluator.teacherTokenizer(of: reader)
        let batches = try stream(settings.heldOutSplit).batches(epoch: 0)
        var left = limit
        while left > 0, let records = try batches.next()?.records {
            let batch = try makeBatch(records)
            guard !batch.rows.isEmpty else { continue }
            let rows = training.criterionBatch(batch)
            let step = try criterion.statistics(
                of: [rows],
                models: training.models,
                engine: training.engine
            )
            let found = try criterion.alignments(rows, models: training.models, step: step)
            for (example, alignment) in found.enumerated().prefix(left) {
                try body(
                    ExampleAlignment(
                        id: batch.records[example].id,
                        student: side(rows.student, example, tokenizer, readable),
                        teacher: side(rows.teacher, example, teacherTokenizer, readable),
                        toStudent: weights(alignment.toStudent),
                        toTeacher: weights(alignment.toTeacher),
                        overlap: AlignmentOverlap(
                            student: texts(rows.student, example, tokenizer),
                            teacher: texts(rows.teacher, example, teacherTokenizer),
                            strongest: strongest(alignment.toStudent)
                        )
                    )
                )
            }
            left -= found.count
        }
    }

    private func side(
        _ rows: SupervisedRows,
        _ example: Int,
        _ tokenizer: Tokenizer,
        _ readable: Bool
    ) -> ExampleAlignment.Side {
        let range = rows.range(ofExample: example)
        let spelled = readable ? tokenizer.readable : tokenizer.piece
        return ExampleAlignment.Side(
            inputs: rows.inputs[range].map(spelled),
            labels: rows.labels[range].map(spelled)
        )
    }

    private func texts(_ rows: SupervisedRows, _ example: Int, _ tokenizer: Tokenizer) -> [[UInt8]]
    {
        rows.labels[rows.range(ofExample: example)].map { tokenizer.bytes(of: $0) }
    }

    private func strongest(_ weights: Matrix) -> [Int] {
        (0..<weights.rows).map { row in
            (0..<weights.columns).max { weights[row, $0] < weights[row, $1] } ?? 0
        }
    }

    /// Five decimals: more is noise, and files stay small.
    private func weights(_ matrix: Matrix) -> [[Double]] {
        (0..<matrix.rows).map { row in
            UnsafeBufferPointer(start: matrix.row(row), count: matrix.columns).map {
                // JSON has no number for what a diverged student's are.
                $0.isFinite ? (Double($0) * 1e5).rounded() / 1e5 : 0
            }
        }
    }
}
