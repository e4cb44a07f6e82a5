import Cache
import Extract
import Foundation
import Models
import Tensors
import Tokenizers

/// How a pipeline's `student:` comes to be.
struct StudentSettings: Codable, Equatable {
    /// GPT-2 from scratch.
    struct New: Codable, Equatable {
        var vocabulary = 8_192
        var hiddenSize = 384
        var layers = 5
        var heads = 6
        var positions = 512
        var template = "chatml"
        var seed: UInt64 = 1

        enum CodingKeys: String, CodingKey, CaseIterable {
            case vocabulary, layers, heads, positions, template, seed
            case hiddenSize = "hidden_size"
        }

        init() {}

        init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            func set<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
                value = try c.decodeIfPresent(T.self, forKey: key) ?? value
            }
            try set(.vocabulary, &vocabulary)
            try set(.hiddenSize, &hiddenSize)
            try set(.layers, &layers)
            try set(.heads, &heads)
            try set(.positions, &positions)
            try set(.template, &template)
            try set(.seed, &seed)
        }

        /// Refuses the name of an architecture, of which there is no choice here.
        static func refuseArchitecture(in value: ConfigurationFile.Value) throws {
            for key in ["architecture", "model_type"] {
                guard let given = value[key] else { continue }
                throw ConfigurationError(
                    place: given.place,
                    message: "\"student.new.\(key)\": a student made from sizes is a GPT-2",
                    remedy: "leave the key out; for another architecture cut the teacher with "
                        + "student.prune, or name a model's directory in student.from"
                )
            }
        }

        /// Refuses sizes that make no model, before anything is read.
        func validate() throws {
            _ = try PromptTemplate.named(template)
            for (name, value, range) in [
                ("vocabulary", vocabulary, 257...1_000_000),
                ("hidden_size", hiddenSize, 1...65_536),
                ("layers", layers, 1...1_024), ("heads", heads, 1...1_024),
                ("positions", positions, 2...1_000_000),
            ] where !range.contains(value) {
                throw ConfigurationError(
                    place: "student.new.\(name)",
                    message: "\(value) is out of range",
                    remedy: "give \(range.lowerBound) to \(range.upperBound)"
                )
            }
            guard hiddenSize % heads == 0 else {
                throw ConfigurationError(
                    place: "student.new.heads",
                    message: "\(heads) heads do not divide \(hiddenSize) channels",
                    remedy: "make hidden_size a multiple of heads"
                )
            }
        }
    }
}

/// Makes the directory that a student starts from.
enum StudentMaker {
    /// A GPT-2 with random weights and a byte-level BPE tokenizer trained on the training texts.
    ///
    /// - Parameters:
    ///   - texts: A cache directory, whose training split is read, or a JSON Lines file.
    ///   - output: Must not hold a model yet.
    static func new(texts: String, output: String, shape: StudentSettings.New) throws {
        try refuseExisting(output)
        try shape.validate()
        let template = try PromptTemplate.named(shape.template)
        let training = try trainingTexts(texts)
        guard training.contains(where: { !$0.isEmpty }) else {
            throw Failure(
                "\(texts): no training texts in it (split \"train\")",
                code: Failure.Code.badData
            )
        }
        Console.say(
            "student: training a tokenizer of \(shape.vocabulary) tokens on \(training.count) texts"
        )
        let end = "<|endoftext|>"
        let special = [end] + template.specialTokens.filter { $0 != end }
        let tokenizer = try BPETrainer.train(
            texts: training,
            vocabularySize: shape.vocabulary,
            specialTokens: special,
            endOfSequence: end
        )
        var configuration = ModelConfiguration.gpt2(
            hiddenSize: shape.hiddenSize,
            layerCount: shape.layers,
            headCount: shape.heads,
            vocabularySize: tokenizer.vocabularySize,
            maxPositions: shape.positions
        )
        configuration.endOfSequence = tokenizer.endOfSequence.map { Int($0) }
        configuration.beginOfSequence = configuration.endOfSequence
        try write(
            try TransformerModel.random(configuration, seed: shape.seed),
            tokenizer,
            to: output
        )
    }

    /// A model that keeps some layers of another, with its vocabulary.
    static func prune(_ model: String, layers: [Int], output: String) throws {
        try refuseExisting(output)
        let checkpoint = try Checkpoint(URL(fileURLWithPath: model))
        let tokenizer = try Tokenizer(checkpoint)
        try write(try TransformerModel.pruned(checkpoint, layers: layers), tokenizer, to: output)
    }

    private static func refuseExisting(_ output: String) throws {
        let there = (try? FileManager.default.contentsOfDirectory(atPath: output)) ?? []
        guard there.isEmpty else {
            throw Failure(
                "\(output): the directory is not empty; choose another one or remove it",
                code: Failure.Code.outputExists
            )
        }
    }

    private static func write(_ model: TransformerModel, _ tokenizer: Tokenizer, to output: String)
        throws
    {
        let directory = URL(fileURLWithPath: output)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try tokenizer.write(to: directory)
        try exportHuggingFace(model, to: directory)
        let count = model.parameters.reduce(0) { $0 + $1.value.count }
        Console.say(
            "student: \(String(format: "%.1f", Double(count) / 1e6)) million parameters, "
                + "\(tokenizer.vocabularySize) tokens"
        )
    }

    private static func trainingTexts(_ path: String) throws -> [String] {
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        guard isDirectory.boolValue else {
            return try Dataset(contentsOf: URL(fileURLWithPath: path), splits: ["train"]).examples
                .flatMap { [$0.prompt, $0.input, $0.response] }
        }
        let reader = try CacheReader(directory: URL(fileURLWithPath: path))
        var texts: [String] = []
        for index in 0..<reader.shardCount {
            let shard = try reader.shard(index)
            for record in 0..<shard.recordCount where shard.splits[record] == "train" {
                let text = try shard.record(record, hidden: false, logits: false)
                texts += [text.prompt, text.input, text.response]
            }
        }
        return texts
    }
}
