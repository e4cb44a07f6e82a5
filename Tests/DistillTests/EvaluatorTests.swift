import Foundation
import Models
import Scores
import Tensors
import Testing
import Tokenizers

@testable import Cache
@testable import Distill

@Suite("Evaluation")
struct EvaluatorTests {
    @Test("positions are aligned where the text before both is the same")
    func alignment() {
        func bytes(_ words: [String]) -> [[UInt8]] { words.map { Array($0.utf8) } }
        let pairs = alignedPositions(
            student: bytes(["ab", "c", "de", ""]),
            teacher: bytes(["a", "b", "cd", "e", ""])
        )
        #expect(pairs.map(\.0) == [0, 1, 3] && pairs.map(\.1) == [0, 2, 4])
        // One side was cut, and texts that part company are compared no further.
        let cut = alignedPositions(student: bytes(["ab", "x"]), teacher: bytes(["ab", "c", ""]))
        #expect(cut.map(\.0) == [0, 1] && cut.map(\.1) == [0, 1])
        #expect(alignedPositions(student: [], teacher: bytes(["a"])).isEmpty)
    }

    private func evaluator(
        _ world: TinyWorld,
        _ tokenizer: Tokenizer,
        memory: Int = 64
    ) throws -> Evaluator {
        var options = Evaluator.Options()
        options.maxLength = 64
        options.maxPromptLength = 24
        options.batchExamples = 2
        options.headMemoryMiB = memory
        return try Evaluator(world.reader, teacherTokenizer: tokenizer, options: options)
    }

    /// The student's logits deviate by about 0.06, the teacher's by 3.5: these caps bend most.
    @Test(
        "losses, KL and next-byte KL are those of a slow computation in float64",
        arguments: [nil, 0.05] as [Float?],
        [nil, 2] as [Float?]
    )
    func numbers(studentCap: Float?, teacherCap: Float?) throws {
        let world = try TinyWorld(softCap: teacherCap)
        defer { world.remove() }
        let tokenizer = try TinyWorld.tokenizer(merges: false)
        let model = try TinyWorld.model(tokenizer, softCap: studentCap)
        let report = try evaluator(world, tokenizer).evaluate(
            "student",
            model: model,
            tokenizer: tokenizer
        ).report
        var (ce, teacherCE, kl, tokens, bytes) = (0.0, 0.0, 0.0, 0, 0)
        var (reverse, right, top, five) = (0.0, 0, 0, 0)
        let head = try world.reader.teacherHead()
        let width = TinyWorld.width
        for index in try 0..<world.reader.shard(0).splits.count {
            let record = try world.reader.shard(0).record(index)
            guard record.split == "held_out" else { continue }
            let encoder = try StudentEncoder(
                tokenizer: tokenizer,
                templateName: "plain",
                maxLength: 64,
                maxPromptLength: 24
            )
            let example = try encoder.encode(record)
            let hidden = model.hiddenStates(VarlenBatch([example.tokens]), tape: nil)
            for (row, position) in example.supervised.enumerated() {
                let label = Int(example.tokens[position + 1])
                let student = logProbabilities(
                    hidden.row(position),
                    model.outputHead.value,
                    cap: studentCap
                )
                let states = Array(record.hidden[(row * width)..<((row + 1) * width)])
                let theirs = states.withUnsafeBufferPointer {
                    logProbabilities(
                        $0.baseAddress,
                        Matrix(head.values, rows: head.rows, columns: head.columns),
                        cap: teacherCap
                    )
                }
                ce -= student[label]
                teacherCE -= theirs[label]
                kl += zip(theirs, student).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
                reverse += zip(theirs, student).reduce(0) { $0 + exp($1.1) * ($1.1 - $1.0) }
                let order = student.indices.sorted { student[$0] > student[$1] }
                let wanted = theirs.indices.max { theirs[$0] < theirs[$1] }
                right += order[0] == label ? 1 : 0
                top += order[0] == wanted ? 1 : 0
                five += order.prefix(5).contains(wanted ?? -1) ? 1 : 0
                tokens += 1
                bytes += tokenizer.bytes(of: UInt32(label)).count
            }
        }
        #expect(report.examples == 3 && report.tokens == tokens && report.bytes == bytes)
        #expect(abs(report.crossEntropy - ce / Double(tokens)) < 1e-5)
        #expect(abs(report.crossEntropyPerByte - ce / Double(bytes)) < 1e-5)
        #expect(abs((report.teacherCrossEntropy ?? 0) - teacherCE / Double(tokens)) < 1e-5)
        #expect(abs((report.kl ?? 0) - kl / Double(tokens)) < 1e-5)
        #expect(abs((report.reverseKL ?? 0) - reverse / Double(tokens)) < 1e-5)
        #expect(report.accuracy == Double(right) / Double(tokens))
        #expect(report.topOneAgreement == Double(top) / Double(tokens))
        #expect(report.topFiveAgreement == Double(five) / Double(tokens))
        #expect(report.calibration?.bins.reduce(0) { $0 + $1.count } == tokens)
        let interval = try #require(report.intervals?["cross_entropy"])
        #expect(abs(interval.mean - report.crossEntropy) < 1e-12 && interval.low < interval.high)
        // With one token a byte the next byte is the next token.
        #expect(report.alignedPositions == tokens)
        #expect(abs((report.klNextByte ?? 0) - kl / Double(tokens)) < 1e-5)
        #expect(abs((report.reverseKLNextByte ?? 0) - reverse / Double(tokens)) < 1e-5)
        let teacher = try evaluator(world, tokenizer).evaluateTeacher().report
        #expect(abs(teacher.crossEntropy - teacherCE / Double(tokens)) < 1e-5)
    }

    private func logProbabilities(
        _ x: UnsafePointer<Float>?,
        _ head: Matrix,
        cap: Float?
    ) -> [Double] {
        guard let x else { return [] }
        let logits = (0..<head.rows).map { row in
            let product = (0..<head.columns).reduce(0.0) {
                $0 + Double(x[$1]) * Double(head[row, $1])
            }
            return cap.map { Double($0) * tanh(product / Double($0)) } ?? product
        }
        let top = logits.max() ?? 0
        let partition = top + log(logits.reduce(0) { $0 + exp($1 - top) })
        return logits.map { $0 - partition }
    }

    @Test("another vocabulary has a next-byte KL, no token KL, and a smaller number of tokens")
    func otherVocabulary() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let teacher = try TinyWorld.tokenizer(merges: false)
        let tokenizer = try TinyWorld.tokenizer(merges: true)
        let report = try evaluator(world, teacher).evaluate(
            "student",
            model: try TinyWorld.model(tokenizer),
            tokenizer: tokenizer,
            generate: { $0.map { "an onion \($0.prompt)" } }
        ).report
        let plain = try evaluator(world, teacher).evaluate(
            "plain",
            model: try TinyWorld.model(teacher),
            tokenizer: teacher
        ).report
        #expect(report.kl == nil && plain.kl != nil)
        #expect((report.klNextByte ?? 0) > 0 && report.tokens < plain.tokens)
        #expect(report.bytes == plain.bytes && report.alignedPositions == report.tokens)
        #expect(report.answers == 3 && report.rougeL != nil)
        #expect(report.alignmentQuality == nil)
        let table = EvalTable([report, plain]).text
        #expect(table.contains("KL byte") && table.split(separator: "\n").count == 5)
        let again = try JSONDecoder().decode(EvalReport.self, from: JSONEncoder().encode(report))
        #expect(again == report)
    }

    @Test("each example keeps what was measured of it, and the first ones are drawn")
    func examples() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let teacher = try TinyWorld.tokenizer(merges: false)
        let tokenizer = try TinyWorld.tokenizer(merges: true)
        let evaluator = try evaluator(world, teacher)
        let (report, examples) = try evaluator.evaluateTeacher()
        #expect(examples.count == 3 && Set(examples.map(\.id)).count == 3)
        let found = try evaluator.evaluate(
            "student",
            model: try TinyWorld.model(tokenizer),
            tokenizer: tokenizer,
            generate: { $0.map { "an onion \($0.prompt)" } }
        )
        var (loss, teacherLoss, bytes) = (0.0, 0.0, 0)
        for example in examples {
            let length = example.reference.utf8.count
            let model = try #require(found.examples[example.id])
            loss += model.crossEntropyPerByte * Double(length)
            teacherLoss += example.teacher.crossEntropyPerByte * Double(length)
            bytes += length
            #expect(model.answer == "an onion \(example.prompt)")
            #expect(try #require(model.rougeL) >= 0 && model.exactMatch == 0)
            // A letter a token, but for ends of the sequence.
            #expect(example.teacher.text.count <= length && !example.reference.isEmpty)
        }
        #expect(bytes == report.bytes)
        #expect(abs(loss / Double(bytes) - found.report.crossEntropyPerByte) < 1e-9)
        #expect(abs(teacherLoss / Double(bytes) - report.crossEntropyPerByte) < 1e-9)
        #expect(found.maps.count == EvalMaps.examples)
        for map in found.maps {
            let count = map.tokens.count
            #expect(count >= 8 && count <= EvalMaps.positions)
            for values in [map.student, map.teacher] {
                #expect(values.count == count && values.allSatisfy { $0.count == count })
                for i in 0..<count {
                    #expect(values[i][i] == 1)
                    #expect((0..<count).allSatisfy { values[i][$0] == values[$0][i] })
                }
            }
        }
    }

    @Test("names of strangers move no cursor")
    func names() {
        var report = EvalReport(name: "\u{1B}[2Jteacher\u{202E}", split: "held_out")
        report.baseline = "\u{7}"
        let text = EvalTable([report]).text
        #expect(text.contains("\\u{1B}[2Jteacher\\u{202E}"))
        #expect(
            !text.unicodeScalars.contains { ($0.value < 0x20 && $0 != "\n") || $0.value == 0x202E }
        )
    }

    @Test("a report of a hopeless model is still JSON, and its table is still narrow")
    func hopeless() throws {
        for sum in [8e4, Double.infinity, .nan] {
            var report = EvalReport(name: "hopeless", split: "held_out")
            (report.tokens, report.bytes) = (10, 30)
            report.setLoss(sum)
            report.kl = EvalReport.mean(sum * 2, 0)
            #expect(report.perplexity == .greatestFiniteMagnitude)
            let again = try JSONDecoder().decode(
                EvalReport.self,
                from: JSONEncoder().encode(report)
            )
            #expect(again == report)
            #expect(EvalTable([report]).text.split(separator: "\n").allSatisfy { $0.count < 120 })
        }
    }

    @Test("the teacher's tokenizer comes from the cache, and one put in its place is refused")
    func teacherTokenizer() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let tokenizer = try Evaluator.teacherTokenizer(of: world.reader)
        #expect(tokenizer.fingerprint == (try TinyWorld.tokenizer(merges: false)).fingerprint)
        let url = world.reader.directory.appendingPathComponent("manifest.json")
        var manifest = world.reader.manifest
        manifest.description.tokenizer.fingerprint = "another"
        try Data(try manifest.encoded()).write(to: url)
        let changed = try CacheReader(directory: world.reader.directory)
        let error = #expect(throws: DistillError.self) {
            try Evaluator.teacherTokenizer(of: changed)
        }
        #expect(error?.description.contains("teacher.h5") == true)
    }

    @Test("a student whose tokenizer has more tokens than its head has rows is refused")
    func tooManyTokens() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let teacher = try TinyWorld.tokenizer(merges: false)
        let error = #expect(throws: DistillError.self) {
            try evaluator(world, teacher).evaluate(
                "small",
                model: try TinyWorld.model(teacher),
                tokenizer: try TinyWorld.tokenizer(merges: true)
            )
        }
        #expect(error?.description.contains("make the student for this tokenizer") == true)
    }

    @Test("a split that the cache lacks is refused with those it has")
    func noSplit() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var options = Evaluator.Options()
        options.split = "test"
        let error = #expect(throws: DistillError.self) {
            try Evaluator(
                world.reader,
                teacherTokenizer: try TinyWorld.tokenizer(merges: false),
                options: options
            )
        }
        #expect(error?.description.contains("held_out") == true)
    }
}
