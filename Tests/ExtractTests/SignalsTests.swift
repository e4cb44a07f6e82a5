import Cache
import Extract
import Foundation
import Models
import Tensors
import TestSupport
import Testing

@Suite("Extraction of extra signals")
struct SignalsTests {
    private func settings(_ folder: URL) throws -> ExtractSettings {
        var settings = ExtractSettings(
            teacher: try TinyTeacher.make(in: folder).path,
            data: try TinyTeacher.dataset(in: folder, count: 8).path,
            output: folder.appendingPathComponent("cache").path
        )
        settings.maxLength = 96
        settings.maxPromptLength = 48
        settings.topK = 5
        settings.blockTokens = 150
        return settings
    }

    private func records(_ path: String, _ extra: ExtraSignals = ExtraSignals()) throws
        -> [CacheRecord]
    {
        let reader = try CacheReader(directory: URL(fileURLWithPath: path))
        return try (0..<reader.shardCount).flatMap { index in
            let shard = try reader.shard(index)
            return try (0..<shard.recordCount).map { try shard.record($0, extra: extra) }
        }
    }

    @Test("named layers are the residual stream after the embedding and after each block")
    func layers() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.hiddenLayers = [2, 0, 1]
            settings.hiddenType = .f32
            settings.positions = .all
            settings.logits = [.exact]
            try Extraction(settings).run()
            let checkpoint = try Checkpoint(URL(fileURLWithPath: settings.teacher))
            let model = try checkpoint.model()
            let extra = ExtraSignals(hiddenLayers: [0, 1, 2], allPositions: true)
            let records = try records(settings.output, extra)
            #expect(records.count == 8)
            for record in records {
                #expect(record.positions == 0..<record.tokenIDs.count)
                #expect(record.topKIDs.isEmpty && record.logPartition.isEmpty)
                let batch = VarlenBatch([record.tokenIDs])
                let x = embed(batch, model.inputEmbedding, nil, scale: 1)
                for layer in 0...2 {
                    let stored = try #require(record.layers[layer])
                    let largest = zip(stored, x.values).map { abs($0 - $1) }.max() ?? .infinity
                    #expect(stored.count == x.count && largest < 1e-4, "layer \(layer)")
                    try checkpoint.architecture.block(layer, from: checkpoint)
                        .forward(x, BlockContext(batch))
                }
                let final = model.hiddenStates(batch, tape: nil).values
                let largest = zip(record.hidden, final).map { abs($0 - $1) }.max() ?? .infinity
                #expect(largest < 1e-4)
            }
        }
    }

    @Test("full rows are the log-probabilities of the exact logits, and the draws follow them")
    func logits() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.hiddenType = .f32
            settings.logits = [.topK, .sampled, .full]
            settings.samples = 4_000
            try Extraction(settings).run()
            let model = try Checkpoint(URL(fileURLWithPath: settings.teacher)).model()
            let (d, v) = (model.configuration.hiddenSize, model.configuration.vocabularySize)
            var deviations: [Double] = []
            for record in try records(
                settings.output,
                ExtraSignals(samples: true, fullLogits: true)
            ) {
                #expect(record.logPartition.count == record.rows)
                let hidden = Matrix(record.hidden, rows: record.rows, columns: d)
                let logits = Matrix(zeros: record.rows, v)
                multiply(hidden, model.outputHead.value, transposeB: true, into: logits)
                for row in 0..<record.rows {
                    let values = logits.slice(rows: row..<(row + 1)).values.map(Double.init)
                    let partition = log(values.reduce(0) { $0 + exp($1) })
                    let p = values.map { exp($0 - partition) }
                    for id in 0..<v {
                        let stored = Double(record.fullLogProbs[row * v + id])
                        let exact = values[id] - partition
                        #expect(abs(stored - exact) < 1e-4 + abs(exact) / 1_000)
                    }
                    let top = Int(record.topKIDs[row * 5])
                    #expect(p[top] == p.max())
                    deviations.append(chiSquare(record.samples, row: row, p))
                }
            }
            // Each is (chi-square - degrees of freedom) / sqrt(2 x degrees): of mean 0, variance 1.
            let mean = deviations.reduce(0, +) / Double(deviations.count)
            #expect(deviations.count > 50)
            #expect(abs(mean) < 4 / Double(deviations.count).squareRoot(), "unbiased")
            #expect(deviations.allSatisfy { $0 < 6 })
        }
    }

    /// How far the counts of a row are from what p says, tokens of little mass taken together.
    private func chiSquare(_ samples: SampledTokens, row: Int, _ p: [Double]) -> Double {
        let entries = samples.offsets[row]..<samples.offsets[row + 1]
        let draws = entries.reduce(0) { $0 + Int(samples.counts[$1]) }
        var counts = [Double](repeating: 0, count: p.count)
        for entry in entries { counts[Int(samples.ids[entry])] = Double(samples.counts[entry]) }
        var (sum, cells, restExpected, restCount) = (0.0, 0, 0.0, 0.0)
        for (id, probability) in p.enumerated() {
            let expected = probability * Double(draws)
            if expected >= 10 {
                sum += (counts[id] - expected) * (counts[id] - expected) / expected
                cells += 1
            } else {
                restExpected += expected
                restCount += counts[id]
            }
        }
        if restExpected >= 10 {
            sum += (restCount - restExpected) * (restCount - restExpected) / restExpected
            cells += 1
        }
        let freedom = Double(max(1, cells - 1))
        return (sum - freedom) / (2 * freedom).squareRoot()
    }

    @Test("draws depend on seed, example and position, not on blocks, order or other signals")
    func draws() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.logits = [.sampled]
            settings.samples = 20
            settings.sampleSeed = 3
            let extra = ExtraSignals(samples: true)
            func draws(_ name: String) throws -> [String: SampledTokens] {
                settings.output = folder.appendingPathComponent(name).path
                try Extraction(settings).run()
                return Dictionary(
                    uniqueKeysWithValues: try records(settings.output, extra).map {
                        ($0.id, $0.samples)
                    }
                )
            }
            let first = try draws("first")
            settings.blockTokens = 1
            settings.positions = .all
            settings.logits = [.topK, .sampled, .full]
            let lines = try String(contentsOfFile: settings.data, encoding: .utf8)
                .split(separator: "\n").reversed().joined(separator: "\n")
            settings.data = folder.appendingPathComponent("reversed.jsonl").path
            try lines.write(toFile: settings.data, atomically: true, encoding: .utf8)
            #expect(try draws("second") == first)
            settings.sampleSeed = 4
            let other = try draws("other")
            #expect(first.allSatisfy { other[$0.key] != $0.value })
        }
    }

    @Test("a value beyond f16 is refused with the example and the remedy")
    func overflow() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            let teacher = URL(fileURLWithPath: settings.teacher)
            let model = try Checkpoint(teacher).model()
            let table = model.inputEmbedding.value
            for row in 0..<table.rows { table[row, 3] = 70_000 }
            try exportHuggingFace(model, to: teacher)
            settings.hiddenType = .f16
            settings.hiddenLayers = [0]
            let error = #expect(throws: CacheError.self) { try Extraction(settings).run() }
            let text = error?.description ?? ""
            #expect(text.contains("layer 0 is beyond 65504") && text.contains("record "))
            #expect(text.contains("Set extract.hidden_dtype to bf16"))
            settings.hiddenType = .bf16
            settings.output += "-bf16"
            try Extraction(settings).run()
        }
    }

    @Test("going on with other signals is refused by name, and a stopped run ends the same")
    func resume() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.logits = [.sampled, .full]
            settings.hiddenType = .int8
            settings.hiddenLayers = [1]
            try Extraction(settings).run()
            let changes: [(String, (inout ExtractSettings) -> Void)] = [
                ("samples", { $0.samples = 63 }), ("sampleSeed", { $0.sampleSeed = 1 }),
                ("hiddenType", { $0.hiddenType = .f16 }),
                ("hiddenLayers", { $0.hiddenLayers = [] }),
                ("fullLogits", { $0.logitsType = .bf16 }), ("topK", { $0.logits += [.topK] }),
                ("positions", { $0.positions = .all }),
            ]
            for (name, change) in changes {
                var other = settings
                change(&other)
                let error = #expect(throws: CacheError.self) { try Extraction(other).run() }
                #expect(error?.kind == .mismatch && error?.description.contains(name) == true)
            }
            func hashes(_ path: String) throws -> [String] {
                try CacheReader(directory: URL(fileURLWithPath: path)).manifest.files.map(\.sha256)
            }
            let whole = try hashes(settings.output)
            settings.output += "-stopped"
            var calls = 0
            #expect(throws: ExtractError.self) {
                try Extraction(settings).run(shouldStop: {
                    calls += 1
                    return calls == 2
                })
            }
            try Extraction(settings).run()
            #expect(try hashes(settings.output) == whole)
        }
    }

    @Test("settings are read as one word or a list, and what cannot be is refused")
    func words() throws {
        func decode(_ more: String) throws -> ExtractSettings {
            let text = "{\"teacher\":\"t\",\"data\":\"d\",\"output\":\"o\"\(more)}"
            return try JSONDecoder().decode(ExtractSettings.self, from: Data(text.utf8))
        }
        let plain = try decode("")
        #expect(plain.signals == CacheSignals() && plain.storedTopK == 64)
        #expect(try decode(",\"logits\":\"exact\"").storedTopK == 0)
        let all = try decode(
            """
            ,"logits":["topk","sampled","full"],"samples":7,"sample_seed":9,"logits_dtype":"bf16",
            "hidden_layers":[2,0],"hidden_dtype":"int8","positions":"all"
            """
        )
        #expect(
            all.signals
                == CacheSignals(
                    hiddenType: .int8,
                    hiddenLayers: [0, 2],
                    positions: .all,
                    samples: 7,
                    sampleSeed: 9,
                    fullLogits: .bf16
                )
        )
        // Numbers that decide nothing do not make another cache.
        #expect(try decode(",\"samples\":7,\"sample_seed\":9").signals == CacheSignals())
        for bad in [
            ",\"logits\":\"some\"", ",\"logits\":[\"full\",\"half\"]", ",\"logits\":3",
            ",\"hidden_dtype\":\"f64\"", ",\"positions\":\"none\"", ",\"logits_dtype\":\"int8\"",
        ] {
            #expect(throws: DecodingError.self) { try decode(bad) }
        }
        for bad in [",\"samples\":0", ",\"samples\":70000", ",\"hidden_layers\":[1,1]"] {
            #expect(throws: ExtractError.self) { try decode(bad).validate() }
        }
        try withFolder { folder in
            var settings = try settings(folder)
            settings.hiddenLayers = [3]
            let error = #expect(throws: ExtractError.self) { try Extraction(settings) }
            #expect(error?.place == "extract.hidden_layers")
            #expect(error?.description.contains("Give 0 (the embedding) to 2") == true)
        }
    }

    @Test("a shard counts the bytes of whole rows")
    func shardSize() throws {
        try withFolder { folder in
            var settings = try settings(folder)
            settings.data = try TinyTeacher.dataset(in: folder, count: 60).path
            settings.shardMiB = 1
            #expect(try Extraction(settings).forecast().shards == 1)
            settings.logits = [.full]
            let forecast = try Extraction(settings).forecast()
            #expect(forecast.shards > 1)
            try Extraction(settings).run()
            let reader = try CacheReader(directory: URL(fileURLWithPath: settings.output))
            #expect(reader.shardCount == forecast.shards)
            for shard in reader.manifest.shards {
                let raw = shard.file.arrays.values.reduce(0) { $0 + $1.raw }
                #expect(raw < 1 << 20 + 1 << 16)
            }
        }
    }
}
