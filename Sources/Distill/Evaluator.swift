import CKernels
import Cache
import Foundation
import Models
import Scores
import Tensors
import Tokenizers

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

    /// A model's figures, and each example's part in them.
    public struct Evaluation: Sendable {
        /// The figures.
        public var report: EvalReport
        /// For intervals and comparisons.
        public var shares = EvalShares()
        /// What was measured of each example: by its id, of a model.
        public var examples: [String: EvalExample.Model] = [:]
        /// Of the first examples that a map can show.
        public var maps: [SimilarityMap] = []
        var alignmentChance = 0.0
        var teacherCrossEntropy = Share(0, weight: 0)
        var teacherBytes = 0
        var tokens: [(confidence: Float, isRight: Bool)] = []
        var alignment = LinearCKA()
    }

    /// Looks at one student.
    ///
    /// - Parameters:
    ///   - name: For tables.
    ///   - template: The prompt template that the student knows; nil takes the cache's.
    ///   - generate: Answers all prompts of the split at once, in their order; nil leaves ROUGE-L
    ///     out.
    /// - Throws: `CacheError`; `DistillError.unfit` where tokenizer and model do not fit.
    public func evaluate(
        _ name: String,
        model: any LanguageModel,
        tokenizer: Tokenizer,
        template: String? = nil,
        generate: (([EvalPrompt]) throws -> [String])? = nil
    ) throws -> Evaluation {
        let description = reader.manifest.description
        try StudentEncoder.requireFit(tokenizer, model.configuration)
        let encoder = try StudentEncoder(
            tokenizer: tokenizer,
            templateName: template ?? description.template,
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
        var found = Evaluation(report: EvalReport(name: name, split: options.split))
        var asked: [(id: String, prompt: EvalPrompt, response: String)] = []
        try forEachBatch { records in
            let batch = try MicroBatch(
                records,
                encoder: encoder,
                pairs: same,
                reading: TeacherReading(hiddenOf: description)
            )
            found.report.cut += batch.cut
            found.report.dropped += batch.dropped
            guard !batch.rows.isEmpty else { return }
            let hidden = model.hiddenStates(batch.sequences, tape: nil)
            let student = batch.criterionBatch(hidden: hidden).student
            let mine = engine.figures(student, head, buckets)
            let theirs = engine.figures(batch.teacher, teacher.head, teacherBuckets)
            add(mine.rows, batch.records, student, tokenizer, to: &found)
            for row in theirs.rows {
                found.teacherCrossEntropy.sum += row.loss
                found.teacherCrossEntropy.weight += 1
            }
            found.teacherBytes += batch.teacher.labels.reduce(0) {
                $0 + teacherTokenizer.bytes(of: $1).count
            }
            if same { addGaps(batch, student, head, to: &found.shares) }
            compare(batch, student, tokenizer, mine.nextByte, theirs.nextByte, &found)
            if generate != nil {
                asked += batch.records.map { ($0.id, EvalPrompt($0), $0.response) }
            }
        }
        if let generate { try addAnswers(asked, generate, &found) }
        return finish(found)
    }

    /// The teacher's own row of the table, and the examples as it sees them, in the split's order.
    public func evaluateTeacher() throws -> (report: EvalReport, examples: [EvalExample]) {
        let name = reader.manifest.description.teacher.name
        var found = Evaluation(report: EvalReport(name: name, split: options.split))
        var examples: [EvalExample] = []
        try forEachBatch { records in
            var offsets = [0]
            for record in records {
                offsets.append(offsets[offsets.count - 1] + record.supervised.count)
            }
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
                offsets: offsets
            )
            let rows = engine.figures(side, teacher.head, teacherBuckets).rows
            add(rows, records, side, teacherTokenizer, to: &found)
            for (index, record) in records.enumerated() {
                let range = offsets[index]..<offsets[index + 1]
                let choice = range.flatMap { teacherTokenizer.bytes(of: rows[$0].largest) }
                examples.append(
                    EvalExample(
                        id: record.id,
                        prompt: record.prompt,
                        input: record.input,
                        reference: record.response,
                        teacher: EvalExample.Teacher(
                            text: String(decoding: choice, as: UTF8.self),
                            crossEntropyPerByte: found.examples[record.id]?.crossEntropyPerByte ?? 0
                        )
                    )
                )
            }
        }
        found.teacherCrossEntropy = found.shares.total(.crossEntropy)
        found.teacherBytes = found.report.bytes
        return (finish(found).report, examples)
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

    private func finish(_ found: Evaluation) -> Evaluation {
        var report = found.report
        let shares = found.shares
        report.setLoss(shares.total(.crossEntropy).sum)
        let theirs = found.teacherCrossEntropy
        report.teacherCrossEntropy = EvalReport.mean(theirs.sum, Int(theirs.weight))
        report.teacherCrossEntropyPerByte = EvalReport.mean(theirs.sum, found.teacherBytes)
        report.accuracy = shares.mean(.accuracy)
        report.kl = shares.mean(.kl)
        report.reverseKL = shares.mean(.reverseKL)
        report.topOneAgreement = shares.mean(.topOneAgreement)
        report.topFiveAgreement = shares.mean(.topFiveAgreement)
        report.klNextByte = shares.mean(.klNextByte)
        report.reverseKLNextByte = shares.mean(.reverseKLNextByte)
        report.nextByteAgreement = shares.mean(.nextByteAgreement)
        report.cosineStructure = shares.mean(.cosineStructure)
        report.innerProductStructure = shares.mean(.innerProductStructure)
        report.linearCKA = found.alignment.value
        report.rougeL = shares.mean(.rougeL)
        report.exactMatch = shares.mean(.exactMatch)
        report.calibration = Calibration(found.tokens)
        report.intervals = shares.intervals()
        var found = found
        found.report = report
        return found
    }

    /// What a model says of its own labels, example by example.
    private func add(
        _ rows: [HeadLoss.RowFigures],
        _ records: [CacheRecord],
        _ side: SupervisedRows,
        _ tokenizer: Tokenizer,
        to found: inout Evaluation
    ) {
        for (index, record) in records.enumerated() {
            let range = side.offsets[index]..<side.offsets[index + 1]
            let loss = range.reduce(0.0) { $0 + rows[$1].loss }
            let bytes = range.reduce(0) { $0 + tokenizer.bytes(of: side.labels[$1]).count }
            let right = range.count { rows[$0].isRight }
            let count = Double(range.count)
            found.shares.add(.crossEntropy, record.id, sum: loss, weight: count)
            found.shares.add(.crossEntropyPerByte, record.id, sum: loss, weight: Double(bytes))
            found.shares.add(.accuracy, record.id, sum: Double(right), weight: count)
            found.examples[record.id] = EvalExample.Model(
                crossEntropyPerByte: EvalReport.mean(loss, bytes)
            )
            found.report.tokens += range.count
            found.report.bytes += bytes
        }
        found.report.examples += records.count
        found.tokens += rows.map { ($0.confidence, $0.isRight) }
    }

    private func addAnswers(
        _ asked: [(id: String, prompt: EvalPrompt, response: String)],
        _ generate: ([EvalPrompt]) throws -> [String],
        _ found: inout Evaluation
    ) throws {
        let answers = try generate(asked.map(\.prompt))
        precondition(answers.count == asked.count, "one answer for each prompt")
        let rouge = RougeL()
        for (answer, question) in zip(answers, asked) {
            let references = [question.response]
            let score = rouge(answer, references: references)
            let match = ExactMatch.score(answer, references: references)
            found.shares.add(.rougeL, question.id, sum: score, weight: 1)
            found.shares.add(.exactMatch, question.id, sum: match, weight: 1)
            found.examples[question.id]?.answer = answer
            found.examples[question.id]?.rougeL = score
            found.examples[question.id]?.exactMatch = match
            found.report.answers += 1
        }
    }

    /// How far the student is from the teacher at the same tokens.
    private func addGaps(
        _ batch: MicroBatch,
        _ student: SupervisedRows,
        _ head: HeadProduct,
        to shares: inout EvalShares
    ) {
        let gaps = engine.gaps(
            student: HeadLoss.Operand(hidden: student.hidden, head: head),
            teacher: HeadLoss.Operand(hidden: batch.teacher.hidden, head: teacher.head)
        )
        for (index, record) in batch.records.enumerated() {
            let rows = gaps[student.offsets[index]..<student.offsets[index + 1]]
            let figures: [(EvalMeasure, Double)] = [
                (.kl, rows.reduce(0) { $0 + $1.forward }),
                (.reverseKL, rows.reduce(0) { $0 + $1.reverse }),
                (.topOneAgreement, Double(rows.count(where: \.isTop))),
                (.topFiveAgreement, Double(rows.count(where: \.isInTopFive))),
            ]
            for (measure, sum) in figures {
                shares.add(measure, record.id, sum: sum, weight: Double(rows.count))
            }
        }
    }

    /// Fewer make no picture.
    private static let mappedPositions = 8

    /// Compares where both have read the same text: what comes next, and how its tokens are arranged.
    private func compare(
        _ batch: MicroBatch,
        _ student: SupervisedRows,
        _ tokenizer: Tokenizer,
        _ mine: Matrix,
        _ theirs: Matrix,
        _ found: inout Evaluation
    ) {
        var rows: (student: [Int], teacher: [Int]) = ([], [])
        for example in batch.records.indices {
            let (first, last) = (batch.offsets[example], batch.offsets[example + 1])
            let (start, end) = (batch.teacher.offsets[example], batch.teacher.offsets[example + 1])
            let pairs = alignedPositions(
                student: batch.labels[first..<last].map { tokenizer.bytes(of: $0) },
                teacher: batch.teacher.labels[start..<end].map { teacherTokenizer.bytes(of: $0) }
            )
            var sums = (forward: 0.0, reverse: 0.0, agreements: 0)
            for (i, j) in pairs {
                let q = UnsafeBufferPointer(start: mine.row(first + i), count: mine.columns)
                let p = UnsafeBufferPointer(start: theirs.row(start + j), count: theirs.columns)
                sums.forward += NextByteBuckets.divergence(p, q)
                sums.reverse += NextByteBuckets.divergence(q, p)
                sums.agreements += largestIndex(p) == largestIndex(q) ? 1 : 0
            }
            found.report.alignedPositions += pairs.count
            let id = batch.records[example].id
            if !pairs.isEmpty {
                let own = pairs.map { first + $0.0 }
                let others = pairs.map { start + $0.1 }
                let states = (student.hidden.gathered(own), batch.teacher.hidden.gathered(others))
                let distance = StructureDistance(student: states.0, teacher: states.1)
                if found.maps.count < EvalMaps.examples, pairs.count >= Self.mappedPositions {
                    let shown = Array(0..<min(pairs.count, EvalMaps.positions))
                    found.maps.append(
                        SimilarityMap(
                            id: id,
                            tokens: shown.map { tokenizer.readable(student.inputs[own[$0]]) },
                            student: states.0.gathered(shown),
                            teacher: states.1.gathered(shown)
                        )
                    )
                }
                found.shares.add(.cosineStructure, id, sum: distance.cosine)
                found.shares.add(.innerProductStructure, id, sum: distance.innerProduct)
                rows.student += own
                rows.teacher += others
            }
            for (measure, sum) in [
                (EvalMeasure.klNextByte, sums.forward), (.reverseKLNextByte, sums.reverse),
                (.nextByteAgreement, Double(sums.agreements)),
            ] {
                found.shares.add(measure, id, sum: sum, weight: Double(pairs.count))
            }
        }
        found.alignment.add(
            student.hidden.gathered(rows.student),
            batch.teacher.hidden.gathered(rows.teacher)
        )
    }

    private func largestIndex(_ values: UnsafeBufferPointer<Float>) -> Int {
        values.indices.max { values[$0] < values[$1] } ?? 0
    }
}
