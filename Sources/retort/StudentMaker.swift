import Cache
import Extract
import Foundation
import Models
import Tensors
import Tokenizers

/// Makes the directory that a student starts from.
enum StudentMaker {
    /// A model with random weights, its tokenizer trained on the training texts or taken from a directory.
    ///
    /// - Parameters:
    ///   - texts: A cache directory, whose training split is read, or a JSON Lines file; not needed when
    ///     `shape` names a tokenizer.
    ///   - output: Must not hold a model yet.
    static func new(texts: String?, output: String, shape: StudentSettings.New) throws {
        try ModelDirectory.refuseExisting(output)
        try shape.validate()
        let tokenizer: Tokenizer
        var chat: String?
        if let path = shape.tokenizer {
            tokenizer = try Tokenizer(contentsOf: URL(fileURLWithPath: path))
            chat = try ChatTemplate.text(modelAt: URL(fileURLWithPath: path))
        } else {
            tokenizer = try train(on: texts ?? "", shape)
        }
        let step = shape.padVocabulary
        let rows = (tokenizer.vocabularySize + step - 1) / step * step
        var configuration = shape.configuration(vocabularySize: rows)
        configuration.endOfSequence = tokenizer.endOfSequence.map { Int($0) }
        // A trained tokenizer has no begin token, and its texts begin as they end; to another none is
        // added, which would make it another tokenizer.
        configuration.beginOfSequence =
            shape.tokenizer == nil
            ? configuration.endOfSequence : tokenizer.beginOfSequence.map { Int($0) }
        try refuseTooLarge(configuration)
        try write(
            try TransformerModel.random(configuration, seed: shape.seed),
            tokenizer,
            chat: chat,
            to: output
        )
    }

    /// Examples on which importance is measured.
    private static let sampleCount = 256
    /// Tokens of each.
    private static let sampleTokens = 512

    /// A model that keeps some layers and channels of another, with its vocabulary.
    static func prune(_ model: String, _ settings: StudentSettings.Prune, output: String) throws {
        try ModelDirectory.refuseExisting(output)
        let checkpoint = try Checkpoint(URL(fileURLWithPath: model))
        let tokenizer = try Tokenizer(checkpoint)
        let cut = try settings.cut(of: checkpoint.configuration.layerCount)
        let sample =
            try settings.cutsWidth ? tokens(of: settings.sample ?? "", tokenizer, checkpoint) : []
        let pruned = try TransformerModel.pruned(checkpoint, to: cut, sample: sample)
        try ModelDirectory.fill(output) { directory in
            try TokenizerFiles.copy(from: checkpoint.url, to: directory)
            try exportHuggingFace(pruned, to: directory)
        }
        report(pruned, tokenizer)
    }

    /// The first examples of a cache or file as tokens.
    private static func tokens(
        of path: String,
        _ tokenizer: Tokenizer,
        _ checkpoint: Checkpoint
    ) throws -> [[UInt32]] {
        let limit = min(sampleTokens, checkpoint.configuration.maxPositions)
        let lists = try trainingTexts(path, first: sampleCount).map { texts in
            let text = texts.filter { !$0.isEmpty }.joined(separator: "\n")
            return Array(try tokenizer.encode(text, addSpecialTokens: true).prefix(limit))
        }.filter { !$0.isEmpty }
        guard !lists.isEmpty else {
            throw Failure(
                "\(path): no texts in it (split \"train\")",
                code: Failure.Code.badData
            )
        }
        let count = lists.reduce(0) { $0 + $1.count }
        Console.say("student: measuring importance on \(lists.count) texts, \(count) tokens")
        return lists
    }

    private static func train(on path: String, _ shape: StudentSettings.New) throws -> Tokenizer {
        let template = try PromptTemplate.named(shape.template)
        let training = try trainingTexts(path).flatMap { $0 }
        guard training.contains(where: { !$0.isEmpty }) else {
            throw Failure(
                "\(path): no training texts in it (split \"train\")",
                code: Failure.Code.badData
            )
        }
        Console.say(
            "student: training a tokenizer of \(shape.vocabulary) tokens on \(training.count) texts"
        )
        let end = "<|endoftext|>"
        return try BPETrainer.train(
            texts: training,
            vocabularySize: shape.vocabulary,
            specialTokens: [end] + template.specialTokens.filter { $0 != end },
            endOfSequence: end
        )
    }

    /// Weights are made in memory as float32.
    private static func refuseTooLarge(_ configuration: ModelConfiguration) throws {
        let bytes = 4 * configuration.newParameterCount
        let memory = MachineMemory.all
        guard bytes < memory else {
            throw Failure(
                "student: \(millions(configuration.newParameterCount)) million parameters take "
                    + "\(ProgressLine.bytes(bytes)), and this machine has "
                    + "\(ProgressLine.bytes(memory)); choose smaller sizes",
                code: Failure.Code.usage
            )
        }
    }

    private static func write(
        _ model: TransformerModel,
        _ tokenizer: Tokenizer,
        chat: String?,
        to output: String
    ) throws {
        try ModelDirectory.fill(output) { directory in
            try tokenizer.write(to: directory)
            if let chat { try ModelDirectory.write(chatTemplate: chat, to: directory) }
            try exportHuggingFace(model, to: directory)
        }
        report(model, tokenizer)
    }

    private static func report(_ model: TransformerModel, _ tokenizer: Tokenizer) {
        let count = model.parameters.reduce(0) { $0 + $1.value.count }
        Console.say(
            "student: \(model.configuration.modelType), \(millions(count)) million parameters, "
                + "\(tokenizer.vocabularySize) tokens"
        )
    }

    private static func millions(_ count: Int) -> String {
        String(format: "%.1f", Double(count) / 1e6)
    }

    /// Prompt, input and response of the training examples of a cache or file.
    private static func trainingTexts(_ path: String, first limit: Int = .max) throws -> [[String]]
    {
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        guard isDirectory.boolValue else {
            return try Dataset(contentsOf: URL(fileURLWithPath: path), splits: ["train"]).examples
                .prefix(limit).map { [$0.prompt, $0.input, $0.response] }
        }
        let reader = try CacheReader(directory: URL(fileURLWithPath: path))
        var texts: [[String]] = []
        for index in 0..<reader.shardCount where texts.count < limit {
            let shard = try reader.shard(index)
            for record in 0..<shard.recordCount
            where shard.splits[record] == "train" && texts.count < limit {
                let text = try shard.record(record, hidden: false, logits: false)
                texts.append([text.prompt, text.input, text.response])
            }
        }
        return texts
    }
}
