import CKernels
import Cache
import Foundation
import Models
import Scores
import Tensors
import Tokenizers

/// A prompt to answer, with the record's input; the caller puts it into the template.
public struct EvalPrompt: Sendable, Equatable {
    /// The instruction.
    public var prompt: String
    /// What it is about; empty where there is nothing.
    public var input: String

    /// A prompt, with an input or without.
    public init(prompt: String, input: String = "") { (self.prompt, self.input) = (prompt, input) }

    init(_ record: CacheRecord) { (prompt, input) = (record.prompt, record.input) }
}

/// Measures students against a split of a cache, the teacher gone.
public final class Evaluator {
    /// How a student reads the texts, and how much memory logits may take.
    public struct Options: Sendable {
        /// The split.
        public var split = "held_out"
        /// Only the first so many examples; nil for all.
        public var limit: Int?
        /// Tokens of an example and of its prompt at most.
        public var maxLength = 512
        /// See `maxLength`.
        public var maxPromptLength = 256
        /// The prompt template; nil takes the cache's.
        public var template: String?
        /// Examples run at a time.
        public var batchExamples = 16
        /// Memory for one chunk of logits.
        public var headMemoryMiB = 64

        /// The held-out split, whole.
        public init() {}
    }

    private let reader: CacheReader
    private let teacher: CachedTeacher
    private let teacherTokenizer: Tokenizer
    private let compute: ComputeType
    private let options: Options
    private let engine: HeadLoss
    private let teacherBuckets: NextByteBuckets

    /// Reads the teacher's head.
    ///
    /// - Parameter teacherTokenizer: `Evaluator.teacherTokenizer(of:)`, or the same from elsewhere.
    /// - Throws: `CacheError`; `DistillError.noExamples` for a split that the cache lacks.
    public init(
        _ reader: CacheReader,
        teacherTokenizer: Tokenizer,
        compute: ComputeType = .f32,
        options: Options = Options()
    ) throws {
        try reader.requireExamples(split: options.split)
        self.reader = reader
        self.teacherTokenizer = teacherTokenizer
        self.compute = compute
        self.options = options
        teacher = try CachedTeacher(reader, compute: compute, needsEmbedding: false)
        engine = HeadLoss(memoryLimit: options.headMemoryMiB << 20)
        teacherBuckets = NextByteBuckets(teacherTokenizer, vocabulary: teacher.head.vocabulary)
    }

    /// The teacher's tokenizer, from the files that the cache keeps.
    ///
    /// - Throws: `CacheError`, `TokenizerError`; `DistillError.unfit` where it is not the tokenizer
    ///   that the cache was made with.
    public static func teacherTokenizer(of reader: CacheReader) throws -> Tokenizer {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-tokenizer-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: directory) }
        try RunFiles.makeDirectory(directory)
        for (name, data) in try reader.tokenizerFiles() {
            try RunFiles.write(data, to: directory.appendingPathComponent(name))
        }
        let tokenizer = try Tokenizer(directory: directory)
        guard tokenizer.fingerprint == reader.manifest.description.tokenizer.fingerprint else {
            throw DistillError.unfit(
                "\(reader.directory.path): the tokenizer in teacher.h5 is not the one that "
                    + "manifest.json names; fetch the cache again, or extract it again"
            )
        }
        return tokenizer
    }

    /// Sums over positions of one model.
    private struct Sums {
        var report: EvalReport
        var crossEntropy = 0.0, teacherCrossEntropy = 0.0
        var teacherTokens = 0, teacherBytes = 0
        var kl = 0.0, klNextByte = 0.0, agreements = 0.0
        var rougeL = 0.0
    }

    /// Looks at one student.
    ///
    /// - Parameters:
    ///   - name: For tables.
    ///   - generate: Answers all prompts of the split at once, in their order; nil leaves ROUGE-L
    ///     out.
    /// - Throws: `CacheError`; `DistillError.unfit` where tokenizer and model do not fit.
    public func evaluate(
        _ name: String,
        model: any LanguageModel,
        tokenizer: Tokenizer,
        generate: (([EvalPrompt]) throws -> [String])? = nil
    ) throws -> EvalReport {
        let description = reader.manifest.description
        try StudentEncoder.requireFit(tokenizer, model.configuration)
        let encoder = try StudentEncoder(
            tokenizer: tokenizer,
            templateName: options.template ?? description.template,
            maxLength: min(options.maxLength, model.configuration.maxPositions),
            maxPromptLength: options.maxPromptLength
        )
        let same = tokenizer.fingerprint == description.tokenizer.fingerprint
        let head = HeadProduct(
            frozen: model.outputHead.value,
            softCap: model.configuration.logitSoftCap,
            compute: compute
        )
        let buckets = NextByteBuckets(tokenizer, vocabulary: head.vocabulary)
        var sums = Sums(report: EvalReport(name: name, split: options.split))
        var asked: [(prompt: EvalPrompt, response: String)] = []
        try forEachBatch { records in
            let batch = try MicroBatch(
                records,
                encoder: encoder,
                pairs: same,
                reading: TeacherReading(hiddenOf: description)
            )
            sums.report.cut += batch.cut
            sums.report.dropped += batch.dropped
            guard !batch.rows.isEmpty else { return }
            let hidden = model.hiddenStates(batch.sequences, tape: nil)
            let student = batch.criterionBatch(hidden: hidden).student
            let mine = engine.nextBytes(student, head, buckets)
            let theirs = engine.nextBytes(batch.teacher, teacher.head, teacherBuckets)
            sums.report.examples += batch.records.count
            sums.report.tokens += student.count
            sums.crossEntropy += mine.crossEntropy
            sums.report.bytes += student.labels.reduce(0) { $0 + tokenizer.bytes(of: $1).count }
            sums.teacherCrossEntropy += theirs.crossEntropy
            sums.teacherTokens += batch.teacher.count
            sums.teacherBytes += batch.teacher.labels.reduce(0) {
                $0 + teacherTokenizer.bytes(of: $1).count
            }
            if same { sums.kl += divergence(student, head, batch.teacher) }
            compareNextBytes(batch, tokenizer, mine.nextByte, theirs.nextByte, &sums)
            if generate != nil {
                asked += batch.records.map { (EvalPrompt($0), $0.response) }
            }
        }
        if let generate { try addAnswers(asked, generate, &sums) }
        return finish(sums, same: same)
    }

    /// The teacher's own row of the table.
    public func teacherReport() throws -> EvalReport {
        var report = EvalReport(
            name: reader.manifest.description.teacher.name,
            split: options.split
        )
        var crossEntropy = 0.0
        try forEachBatch { records in
            let labels = records.flatMap { record in
                record.supervised.map { record.tokenIDs[$0 + 1] }
            }
            let side = SupervisedRows(
                hidden: Matrix(
                    records.flatMap(\.hidden),
                    rows: labels.count,
                    columns: teacher.hiddenSize
                ),
                inputs: labels,
                labels: labels,
                offsets: [0, labels.count]
            )
            crossEntropy += engine.nextBytes(side, teacher.head, teacherBuckets).crossEntropy
            report.examples += records.count
            report.tokens += labels.count
            report.bytes += labels.reduce(0) { $0 + teacherTokenizer.bytes(of: $1).count }
        }
        report.setLoss(crossEntropy)
        report.teacherCrossEntropy = report.crossEntropy
        report.teacherCrossEntropyPerByte = report.crossEntropyPerByte
        return report
    }

    private func forEachBatch(_ body: ([CacheRecord]) throws -> Void) throws {
        let stream = try CacheStream(
            reader: reader,
            split: options.split,
            seed: 0,
            batch: .examples(options.batchExamples),
            logits: false
        )
        var left = options.limit ?? Int.max
        let batches = try stream.batches(epoch: 0)
        while left > 0, let batch = try batches.next() {
            let records = Array(batch.records.prefix(left))
            left -= records.count
            try body(records)
        }
    }

    private func finish(_ sums: Sums, same: Bool) -> EvalReport {
        var report = sums.report
        report.setLoss(sums.crossEntropy)
        report.teacherCrossEntropy = EvalReport.mean(sums.teacherCrossEntropy, sums.teacherTokens)
        report.teacherCrossEntropyPerByte =
            EvalReport.mean(sums.teacherCrossEntropy, sums.teacherBytes)
        if same { report.kl = EvalReport.mean(sums.kl, report.tokens) }
        if report.alignedPositions > 0 {
            report.klNextByte = EvalReport.mean(sums.klNextByte, report.alignedPositions)
            report.nextByteAgreement = sums.agreements / Double(report.alignedPositions)
        }
        if report.answers > 0 { report.rougeL = sums.rougeL / Double(report.answers) }
        return report
    }

    private func addAnswers(
        _ asked: [(prompt: EvalPrompt, response: String)],
        _ generate: ([EvalPrompt]) throws -> [String],
        _ sums: inout Sums
    ) throws {
        let answers = try generate(asked.map(\.prompt))
        precondition(answers.count == asked.count, "one answer for each prompt")
        for (answer, question) in zip(answers, asked) {
            sums.rougeL += RougeL()(answer, reference: question.response)
            sums.report.answers += 1
        }
    }

    /// The sum of KL(teacher || student) over paired rows, at temperature 1.
    private func divergence(
        _ student: SupervisedRows,
        _ head: HeadProduct,
        _ side: SupervisedRows
    ) -> Double {
        engine.compare(
            HeadLoss.Side(hidden: student.hidden, head: head),
            HeadLoss.Target(
                source: .product(
                    hidden: side.hidden,
                    head: teacher.head.prefix(head.vocabulary)
                ),
                distance: .divergence(.forwardKL),
                temperature: 1,
                targetTemperature: 1,
                weight: 0
            )
        ).distance
    }

    private func compareNextBytes(
        _ batch: MicroBatch,
        _ tokenizer: Tokenizer,
        _ mine: Matrix,
        _ theirs: Matrix,
        _ sums: inout Sums
    ) {
        for example in batch.records.indices {
            let (first, last) = (batch.offsets[example], batch.offsets[example + 1])
            let (start, end) = (batch.teacher.offsets[example], batch.teacher.offsets[example + 1])
            let pairs = alignedPositions(
                student: batch.labels[first..<last].map { tokenizer.bytes(of: $0) },
                teacher: batch.teacher.labels[start..<end].map { teacherTokenizer.bytes(of: $0) }
            )
            for (i, j) in pairs {
                let q = UnsafeBufferPointer(start: mine.row(first + i), count: mine.columns)
                let p = UnsafeBufferPointer(start: theirs.row(start + j), count: theirs.columns)
                sums.klNextByte += NextByteBuckets.divergence(p, q)
                sums.agreements += largestIndex(p) == largestIndex(q) ? 1 : 0
                sums.report.alignedPositions += 1
            }
        }
    }

    private func largestIndex(_ values: UnsafeBufferPointer<Float>) -> Int {
        values.indices.max { values[$0] < values[$1] } ?? 0
    }
}
