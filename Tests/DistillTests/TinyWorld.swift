import Cache
import Foundation
import Models
import Ranks
import Tensors

@testable import Distill
@testable import Tokenizers

/// A small cache of an imaginary teacher, two byte-level tokenizers, and tiny students.
struct TinyWorld {
    let directory: URL
    let reader: CacheReader
    static let width = 12

    /// One token a byte, or with a few merges; the last id ends a text.
    static func tokenizer(merges: Bool) throws -> Tokenizer {
        var tokens = ByteAlphabet.scalars.map { String(Character($0)) }
        let rules = merges ? ["t h", "i n", "th e", "a n", "Ġ a", "o n"] : []
        tokens += rules.map { $0.replacingOccurrences(of: " ", with: "") }
        tokens.append("<|end|>")
        return try Tokenizer(
            ggml: GGMLVocabulary(
                model: "gpt2",
                pre: "gpt-2",
                tokens: tokens,
                tokenTypes: tokens.map { $0 == "<|end|>" ? 3 : 1 },
                merges: rules,
                eos: tokens.count - 1
            )
        )
    }

    static func model(
        _ tokenizer: Tokenizer,
        seed: UInt64 = 3,
        softCap: Float? = nil,
        ties: Bool = true
    ) throws -> TransformerModel {
        var configuration = ModelConfiguration.gpt2(
            hiddenSize: 8,
            layerCount: 1,
            headCount: 2,
            vocabularySize: tokenizer.vocabularySize,
            maxPositions: 96
        )
        configuration.logitSoftCap = softCap
        configuration.tiesEmbeddings = ties
        return try .random(configuration, seed: seed)
    }

    /// Writes a cache of 11 training and 3 held-out examples.
    ///
    /// - Parameters:
    ///   - softCap: The teacher's cap of its logits.
    ///   - stored: Whether it holds the teacher's distribution in every way, and a layer beside the last.
    init(
        _ name: String = UUID().uuidString,
        softCap: Float? = nil,
        stored: Bool = false
    ) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-distill-\(name)"
        )
        try? FileManager.default.removeItem(at: directory)
        let tokenizer = try Self.tokenizer(merges: false)
        let end = try required(tokenizer.endOfSequence)
        var random = RandomNumbers(seed: 4, purpose: "tiny world")
        func normal(_ count: Int) -> [Float] { (0..<count).map { _ in random.normal() } }
        let nouns = ["the rain", "an onion", "in the sun", "a thing on it", "the hat"]
        let size = tokenizer.vocabularySize
        let head = normal(size * Self.width)
        let records = try (0..<14).map { index in
            let prompt = "say \(nouns[index % 5]) \(index)"
            let response = "\(nouns[(index * 3 + 1) % 5]), then \(nouns[(index + 2) % 5])."
            let first = try tokenizer.encode(.alpaca, prompt: prompt).suffix(24)
            let tokens = try first + tokenizer.encodePlain(response) + [end]
            let supervised = (first.count - 1)..<(tokens.count - 1)
            let hidden = normal(supervised.count * Self.width)
            var record = CacheRecord(
                id: String(format: "%032x", index),
                split: index < 11 ? "train" : "held_out",
                prompt: prompt,
                response: response,
                tokenIDs: Array(tokens),
                supervised: supervised,
                hidden: hidden
            )
            if stored { Self.store(&record, head: head, using: &random) }
            return record
        }
        let description = CacheDescription(
            teacher: .init(
                name: "imaginary",
                architecture: "llama",
                hiddenSize: Self.width,
                vocabularySize: size,
                weightsSHA256: String(repeating: "0", count: 64),
                computeType: "f32",
                logitSoftCap: softCap
            ),
            tokenizer: .init(fingerprint: tokenizer.fingerprint, eos: Int(end)),
            template: "plain",
            dataset: .init(name: "nouns", sha256: ""),
            maxPromptLength: 24,
            maxLength: 96,
            topK: stored ? Self.topK : 0,
            shardPlan: [14],
            signals: stored
                ? CacheSignals(
                    hiddenType: .f32,
                    hiddenLayers: [1],
                    samples: Self.draws,
                    fullLogits: .f16
                ) : CacheSignals()
        )
        let files = directory.appendingPathComponent("teacher")
        try tokenizer.write(to: files)
        var tokenizerFiles: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: files.path) {
            tokenizerFiles[name] = try Data(contentsOf: files.appendingPathComponent(name))
        }
        let cache = directory.appendingPathComponent("cache")
        let writer = try CacheWriter(directory: cache, description: description, plannedShards: 1)
        try writer.writeTeacher(
            TeacherTables(
                head: TeacherTables.rows(of: head, width: Self.width),
                embeddingIDs: (0..<UInt32(size)).map { $0 },
                embedding: TeacherTables.rows(of: normal(size * Self.width), width: Self.width),
                tokenizerFiles: tokenizerFiles
            )
        )
        let shard = try writer.beginShard(0, expectedRecords: records.count)
        for record in records { try shard.append(record) }
        _ = try shard.finish()
        try writer.finish(counts: ["examples": records.count])
        reader = try CacheReader(directory: cache)
    }

    static let topK = 6, draws = 32

    /// What a record says of its teacher's distribution, softmax of its states times the head.
    private static func store(
        _ record: inout CacheRecord,
        head: [Float],
        using random: inout RandomNumbers
    ) {
        let size = head.count / width
        let rows = record.supervised.count
        record.layers[1] = record.hidden.map { $0 * 0.5 + 0.1 }
        for row in 0..<rows {
            let logits = (0..<size).map { token in
                (0..<width).reduce(0.0) {
                    $0 + Double(record.hidden[row * width + $1] * head[token * width + $1])
                }
            }
            let top = logits.max() ?? 0
            let partition = top + log(logits.reduce(0) { $0 + exp($1 - top) })
            let logs = logits.map { Float($0 - partition) }
            record.logPartition.append(Float(partition))
            record.fullLogProbs += logs
            let best = logs.indices.sorted { (logs[$0], $1) > (logs[$1], $0) }.prefix(topK)
            record.topKIDs += best.map { UInt32($0) }
            record.topKLogProbs += best.map { logs[$0] }
            record.samples.append(draws: draws, of: logs.map { Double($0) }, using: &random)
        }
    }

    /// Settings of three short steps over this cache.
    func settings(_ run: String = UUID().uuidString) -> DistillSettings {
        var settings = DistillSettings(
            cache: reader.directory.path,
            output: directory.appendingPathComponent(run).path,
            student: "tiny"
        )
        settings.steps = 3
        settings.batchExamples = 4
        settings.maxLength = 64
        settings.maxPromptLength = 24
        settings.checkpointEvery = 0
        return settings
    }

    /// - Parameters:
    ///   - merges: Whether the student's tokenizer is another than the teacher's.
    ///   - ties: Whether the student's head is its embedding.
    ///   - ranks: Those that train with this one; they add up gradients in several buckets.
    func trainer(
        _ settings: DistillSettings,
        merges: Bool = true,
        ties: Bool = true,
        ranks: any Communicator = SoloCommunicator()
    ) throws -> Trainer {
        let tokenizer = try Self.tokenizer(merges: merges)
        return try Trainer(
            settings: settings,
            model: try Self.model(tokenizer, ties: ties),
            tokenizer: tokenizer,
            cache: reader,
            ranks: ranks,
            bucketBytes: 1024
        )
    }

    func remove() { try? FileManager.default.removeItem(at: directory) }
}

extension SampledTokens {
    /// Adds a row of so many draws.
    mutating func append(
        draws: Int,
        of logProbs: [Double],
        using random: inout RandomNumbers
    ) {
        var counts: [UInt32: UInt16] = [:]
        for _ in 0..<draws {
            var left = Double(random.uniform())
            let token = logProbs.firstIndex {
                left -= exp($0)
                return left < 0
            }
            counts[UInt32(token ?? logProbs.count - 1), default: 0] += 1
        }
        ids += counts.keys.sorted()
        self.counts += counts.keys.sorted().map { counts[$0] ?? 0 }
        offsets.append(ids.count)
    }
}
