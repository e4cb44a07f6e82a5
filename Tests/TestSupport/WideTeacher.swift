import Foundation
import Models
import Tokenizers

/// A Llama of any size with random weights, written piece by piece so that it may be larger than the
/// memory of the test that makes it.
public enum WideTeacher {
    /// Makes a Hugging Face directory whose safetensors file holds float32 weights.
    ///
    /// - Parameters:
    ///   - folder: Where the directory `wide` is made.
    ///   - layers: How many layers.
    ///   - width: D, in heads of 64; the feed-forward is twice as wide.
    ///   - vocabulary: V, at least the 300 tokens of the tokenizer.
    /// - Returns: The directory and the bytes of the weights.
    public static func make(in folder: URL, layers: Int, width: Int, vocabulary: Int) throws -> (
        directory: URL, bytes: Int
    ) {
        let directory = folder.appendingPathComponent("wide")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let tokenizer = try BPETrainer.train(
            texts: TinyTeacher.sentences,
            vocabularySize: 300,
            specialTokens: ["<|end|>"] + PromptTemplate.named("chatml").specialTokens,
            endOfSequence: "<|end|>"
        )
        try tokenizer.write(to: directory)
        let config: [String: Any] = [
            "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers,
            "num_attention_heads": width / 64, "num_key_value_heads": width / 64, "head_dim": 64,
            "intermediate_size": 2 * width, "vocab_size": vocabulary,
            "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
            "eos_token_id": tokenizer.endOfSequence.map { Int($0) } ?? 0,
        ]
        try JSONSerialization.data(withJSONObject: config)
            .write(to: directory.appendingPathComponent("config.json"))

        var tensors: [(name: String, shape: [Int])] = [
            ("model.embed_tokens.weight", [vocabulary, width]), ("model.norm.weight", [width]),
            ("lm_head.weight", [vocabulary, width]),
        ]
        for layer in 0..<layers {
            for part in ["input_layernorm", "post_attention_layernorm"] {
                tensors.append(("model.layers.\(layer).\(part).weight", [width]))
            }
            for part in ["q", "k", "v", "o"] {
                tensors.append(
                    ("model.layers.\(layer).self_attn.\(part)_proj.weight", [width, width])
                )
            }
            for (part, shape) in [
                ("gate", [2 * width, width]), ("up", [2 * width, width]),
                ("down", [width, 2 * width]),
            ] {
                tensors.append(("model.layers.\(layer).mlp.\(part)_proj.weight", shape))
            }
        }
        return (
            directory, try write(tensors, to: directory.appendingPathComponent("model.safetensors"))
        )
    }

    private static func write(_ tensors: [(name: String, shape: [Int])], to url: URL) throws -> Int
    {
        var header: [String: Any] = [:]
        var end = 0
        for (name, shape) in tensors {
            let bytes = 4 * shape.reduce(1, *)
            header[name] = ["dtype": "F32", "shape": shape, "data_offsets": [end, end + bytes]]
            end += bytes
        }
        var text = try JSONSerialization.data(withJSONObject: header)
        text.append(Data(repeating: 0x20, count: (8 - text.count % 8) % 8))
        try Data().write(to: url)
        let file = try FileHandle(forWritingTo: url)
        defer { try? file.close() }
        try file.write(
            contentsOf: withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
        )
        try file.write(contentsOf: text)
        var state: UInt64 = 1
        let noise = (0..<(1 << 18)).map { _ -> Float in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Float(state >> 40) / 0x1p24 - 0.5) * 0.1
        }
        let random = noise.withUnsafeBytes { Data($0) }
        let ones = [Float](repeating: 1, count: 1 << 14).withUnsafeBytes { Data($0) }
        for (index, (_, shape)) in tensors.enumerated() {
            let piece = shape.count == 1 ? ones : random
            var left = 4 * shape.reduce(1, *)
            // Each tensor starts elsewhere in the noise, so that no two layers are alike.
            var start = shape.count == 1 ? 0 : index * 4096 % piece.count
            while left > 0 {
                let count = min(left, piece.count - start)
                try file.write(contentsOf: piece[start..<(start + count)])
                left -= count
                start = 0
            }
        }
        return end
    }
}
