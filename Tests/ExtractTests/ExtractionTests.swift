import Cache
import Extract
import Foundation
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

@Suite("Extraction")
struct ExtractionTests {
    private func settings(_ folder: URL, count: Int = 12) throws -> ExtractSettings {
        var settings = ExtractSettings(
            teacher: try TinyTeacher.make(in: folder).path,
            data: try TinyTeacher.dataset(in: folder, count: count).path,
            output: folder.appendingPathComponent("cache").path
        )
        settings.maxLength = 96
        settings.maxPromptLength = 48
        settings.topK = 5
        settings.blockTokens = 150
        return settings
    }

    private func records(_ path: String) throws -> [String: CacheRecord] {
        let reader = try CacheReader(directory: URL(fileURLWithPath: path))
        var records: [String: CacheRecord] = [:]
        for index in 0..<reader.shardCount {
            let shard = try reader.shard(index)
            for number in 0..<shard.recordCount {
                let record = try shard.record(number)
                records[record.id] = record
            }
        }
        return records
    }

    private func hashes(_ path: String) throws -> [String] {
        let reader = try CacheReader(directory: URL(fileURLWithPath: path))
        return reader.manifest.files.map { "\($0.path) \($0.sha256)" }.sorted()
    }

    @Test("stored rows are those of the model run as a whole")
    func rows() throws {
        try withFolder { folder in
            let settings = try settings(folder)
            try Extraction(settings).run()
            let teacher = URL(fileURLWithPath: settings.teacher)
            let model = try Checkpoint(teacher).model()
            let tokenizer = try Tokenizer(directory: teacher)
            let records = try records(settings.output)
            #expect(records.count == 12)
            for record in records.values {
                let prompt = try tokenizer.encode(
                    PromptTemplate.named("chatml"),
                    prompt: record.prompt
                )
                let response = try tokenizer.encodePlain(record.response)
                let end = try #require(tokenizer.endOfSequence)
                #expect(record.tokenIDs == prompt + response + [end])
                #expect(record.supervised == (prompt.count - 1)..<(record.tokenIDs.count - 1))

                let hidden = model.hiddenStates(VarlenBatch([record.tokenIDs]), tape: nil)
                let expected = hidden.slice(rows: record.supervised).copied()
                for (stored, exact) in zip(record.hidden, expected.values) {
                    #expect(abs(stored - exact) <= 0.005 * abs(exact) + 1e-5, "bf16 has 8 bits")
                }
                let logits = Matrix(zeros: expected.rows, model.configuration.vocabularySize)
                multiply(expected, model.outputHead.value, transposeB: true, into: logits)
                for row in 0..<logits.rows {
                    let values = logits.slice(rows: row..<(row + 1)).values.map(Double.init)
                    let partition = log(values.reduce(0) { $0 + exp($1) })
                    #expect(abs(Double(record.logPartition[row]) - partition) < 1e-4)
                    let order = values.indices.sorted { values[$0] > values[$1] }.prefix(5)
                    let stored = record.topKIDs[(row * 5)..<(row * 5 + 5)].map { Int($0) }
                    #expect(Set(stored) == Set(order))
                    for (entry, id) in stored.enumerated() {
                        let found = Double(record.topKLogProbs[row * 5 + entry])
                        #expect(abs(found - (values[id] - partition)) < 0.02, "f16")
                    }
                }
            }
        }
    }

    @Test("the head and the embedding rows that occur are stored exactly")
    func tables() throws {
        try withFolder { folder in
            let settings = try settings(folder)
            try Extraction(settings).run()
            let model = try Checkpoint(URL(fileURLWithPath: settings.teacher)).model()
            let reader = try CacheReader(directory: URL(fileURLWithPath: settings.output))
            #expect(try reader.teacherHead().values == model.outputHead.value.values)
            let (ids, rows) = try reader.teacherEmbedding()
            let d = model.configuration.hiddenSize
            for (index, id) in ids.enumerated() {
                let row = Int(id)
                let expected = model.inputEmbedding.value.slice(rows: row..<(row + 1)).values
                #expect(Array(rows[(index * d)..<((index + 1) * d)]) == expected)
            }
            let used = try records(settings.output).values.flatMap {
                $0.tokenIDs[$0.supervised.lowerBound...]
            }
            #expect(Set(used) == Set(ids))
        }
    }

    @Test("an extraction that was stopped ends with the same files as one that was not")
    func resume() throws {
        try withFolder { folder in
            var settings = try settings(folder, count: 60)
            settings.shardMiB = 1
            settings.topK = 64
            let whole = settings
            try Extraction(whole).run()
            settings.output = folder.appendingPathComponent("stopped").path
            var calls = 0
            let error = #expect(throws: ExtractError.self) {
                try Extraction(settings).run(shouldStop: {
                    calls += 1
                    return calls == 4
                })
            }
            #expect(error?.kind == .stopped)
            try Extraction(settings).run()
            #expect(try hashes(settings.output) == hashes(whole.output))
        }
    }

    @Test("running again does nothing, and other settings are refused with their names")
    func again() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            try Extraction(settings).run()
            var calls = 0
            try Extraction(settings).run(progress: { _ in calls += 1 })
            #expect(calls == 0)
            settings.topK = 7
            let error = #expect(throws: CacheError.self) { try Extraction(settings).run() }
            #expect(error?.kind == .mismatch)
            #expect(error?.description.contains("topK") == true)
            // As many examples, but others.
            settings.topK = 5
            settings.splits = ["train"]
            settings.limit = 2
            settings.output = folder.appendingPathComponent("some").path
            try Extraction(settings).run()
            settings.splits = ["held_out"]
            let other = #expect(throws: CacheError.self) { try Extraction(settings).run() }
            #expect(other?.kind == .mismatch)
        }
    }

    @Test("examples beyond the limits are cut and counted")
    func cut() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.maxPromptLength = 6
            settings.maxLength = 12
            let extraction = try Extraction(settings)
            let forecast = try extraction.forecast()
            #expect(forecast.promptsCut == 12 && forecast.examplesCut == 12)
            try extraction.run()
            for record in try records(settings.output).values {
                #expect(record.tokenIDs.count == 12 && record.supervised == 5..<11)
            }
            let reader = try CacheReader(directory: URL(fileURLWithPath: settings.output))
            #expect(reader.manifest.counts["examples_cut"] == 12)
        }
    }

    @Test("bf16 products stay near f32 ones")
    func bf16() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            try Extraction(settings).run()
            let exact = try records(settings.output)
            settings.compute = .bf16
            settings.output = folder.appendingPathComponent("bf16").path
            try Extraction(settings).run()
            for (id, record) in try records(settings.output) {
                let other = try #require(exact[id])
                let difference = zip(record.hidden, other.hidden).map { abs($0 - $1) }
                let size = other.hidden.map(abs).max() ?? 1
                #expect(difference.max() ?? 1 < 0.1 * size)
            }
        }
    }
}
