import Cache
import Foundation
import Models
import Tensors

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
        softCap: Float? = nil
    ) throws -> TransformerModel {
        var configuration = ModelConfiguration.gpt2(
            hiddenSize: 8,
            layerCount: 1,
            headCount: 2,
            vocabularySize: tokenizer.vocabularySize,
            maxPositions: 96
        )
        configuration.logitSoftCap = softCap
        return try .random(configuration, seed: seed)
    }

    /// Writes a cache of 11 training and 3 held-out examples.
    ///
    /// - Parameter softCap: The teacher's cap of its logits.
    init(_ name: String = UUID().uuidString, softCap: Float? = nil) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-distill-\(name)"
        )
        try? FileManager.default.removeItem(at: directory)
        let tokenizer = try Self.tokenizer(merges: false)
        let end = try required(tokenizer.endOfSequence)
        var random = RandomNumbers(seed: 4, purpose: "tiny world")
        func normal(_ count: Int) -> [Float] { (0..<count).map { _ in random.normal() } }
        let nouns = ["the rain", "an onion", "in the sun", "a thing on it", "the hat"]
        let records = try (0..<14).map { index in
            let prompt = "say \(nouns[index % 5]) \(index)"
            let response = "\(nouns[(index * 3 + 1) % 5]), then \(nouns[(index + 2) % 5])."
            let first = try tokenizer.encode(.alpaca, prompt: prompt).suffix(24)
            let tokens = try first + tokenizer.encodePlain(response) + [end]
            let supervised = (first.count - 1)..<(tokens.count - 1)
            return CacheRecord(
                id: String(format: "%032x", index),
                split: index < 11 ? "train" : "held_out",
                prompt: prompt,
                response: response,
                tokenIDs: Array(tokens),
                supervised: supervised,
                hidden: normal(supervised.count * Self.width)
            )
        }
        let size = tokenizer.vocabularySize
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
            topK: 0,
            shardPlan: [14]
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
                head: TeacherTables.rows(of: normal(size * Self.width), width: Self.width),
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

    func remove() { try? FileManager.default.removeItem(at: directory) }
}
