import Foundation
import Models
import Tokenizers

/// A random Llama of a few thousand weights with a tokenizer of its own, as a Hugging Face directory.
enum TinyTeacher {
    static let sentences = [
        "What is the capital of France?", "Name three colours of autumn leaves.",
        "Explain why the sea is salty.", "Write one line about rain.", "How do bees make honey?",
    ]

    /// - Returns: The directory, inside `folder`.
    static func make(in folder: URL, positions: Int = 128) throws -> URL {
        let directory = folder.appendingPathComponent("teacher")
        let template = try PromptTemplate.named("chatml")
        let tokenizer = try BPETrainer.train(
            texts: sentences, vocabularySize: 300, specialTokens: ["<|end|>"] + template.specialTokens,
            endOfSequence: "<|end|>")
        var configuration = ModelConfiguration(
            modelType: "llama", hiddenSize: 24, layerCount: 3, headCount: 4, keyValueHeadCount: 2,
            headSize: 6, intermediateSize: 40, vocabularySize: tokenizer.vocabularySize,
            maxPositions: positions, normEpsilon: 1e-5, tiesEmbeddings: true)
        configuration.endOfSequence = tokenizer.endOfSequence.map { Int($0) }
        let model = try TransformerModel.random(configuration, seed: 5)
        // Weights larger than a trained model's start, so that rows differ visibly.
        for parameter in model.parameters where parameter.decays {
            for row in 0..<parameter.value.rows {
                for column in 0..<parameter.value.columns { parameter.value[row, column] *= 10 }
            }
        }
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try exportHuggingFace(model, to: directory)
        try tokenizer.write(to: directory)
        return directory
    }

    /// A dataset file with `count` examples, every fifth held out.
    static func dataset(in folder: URL, count: Int = 12) throws -> URL {
        let url = folder.appendingPathComponent("data.jsonl")
        var text = ""
        for index in 0..<count {
            let object: [String: Any] = [
                "prompt": sentences[index % sentences.count] + " (\(index))",
                "response": "Answer \(index): " + sentences[(index + 2) % sentences.count],
                "split": index % 5 == 4 ? "held_out" : "train",
            ]
            let data = try JSONSerialization.data(withJSONObject: object, options: .sortedKeys)
            text += String(decoding: data, as: UTF8.self) + "\n"
        }
        try Data(text.utf8).write(to: url)
        return url
    }
}

/// Runs a test in a new directory that is taken away afterwards.
func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "retort-extract-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}
