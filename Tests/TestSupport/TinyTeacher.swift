import Foundation
import Models
import Tensors
import Tokenizers

/// A random Llama of a few thousand weights with a tokenizer of its own, as a Hugging Face directory.
public enum TinyTeacher {
    /// What datasets for it are made of.
    public static let sentences = [
        "What is the capital of France?", "Name three colours of autumn leaves.",
        "Explain why the sea is salty.", "Write one line about rain.", "How do bees make honey?",
    ]

    /// - Returns: The directory, inside `folder`.
    public static func make(in folder: URL) throws -> URL {
        let directory = folder.appendingPathComponent("teacher")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let tokenizer = try BPETrainer.train(
            texts: sentences,
            vocabularySize: 300,
            specialTokens: ["<|end|>"] + PromptTemplate.named("chatml").specialTokens,
            endOfSequence: "<|end|>"
        )
        try tokenizer.write(to: directory)
        let config: [String: Any] = [
            "model_type": "llama", "hidden_size": 24, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
            "intermediate_size": 40, "vocab_size": tokenizer.vocabularySize,
            "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
            "eos_token_id": tokenizer.endOfSequence.map { Int($0) } ?? 0,
        ]
        let url = directory.appendingPathComponent("config.json")
        try JSONSerialization.data(withJSONObject: config).write(to: url)
        let model = try TransformerModel.random(ModelConfiguration(contentsOf: url), seed: 5)
        // Weights larger than a trained model's start, so that rows differ visibly.
        for parameter in model.parameters where parameter.decays {
            for row in 0..<parameter.value.rows {
                for column in 0..<parameter.value.columns { parameter.value[row, column] *= 10 }
            }
        }
        try exportHuggingFace(model, to: directory)
        return directory
    }

    /// A dataset file with `count` examples, every fifth held out.
    public static func dataset(in folder: URL, count: Int = 12) throws -> URL {
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
public func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "retort-test-\(UUID().uuidString)"
    )
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}
