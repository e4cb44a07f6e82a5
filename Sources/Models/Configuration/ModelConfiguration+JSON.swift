import Foundation

extension ModelConfiguration {
    /// Reads config.json.
    ///
    /// - Throws: `ModelError` that names the key that is missing, unknown or out of range.
    public init(contentsOf url: URL) throws {
        let file = try ConfigFile(url)
        self = try Self.read(file)
        endOfSequence = try file.token("eos_token_id") ?? endOfSequence
        beginOfSequence = try file.token("bos_token_id") ?? beginOfSequence
        try validate(file.path)
    }

    private static func read(_ file: ConfigFile) throws -> ModelConfiguration {
        if file.has("quantization_config"), try file.object("quantization_config") != nil {
            throw ModelError(
                .unsupported,
                path: file.path,
                "\"quantization_config\": the weights are packed by another tool",
                remedy: "Use the model's f16 or bf16 weights, or a GGUF file"
            )
        }
        try file.refuse("is_causal", unless: true)
        switch try file.string("model_type") {
        case "gpt2": return try gpt2(file)
        case "gpt_neox": return try gptNeoX(file)
        case "llama": return try llama(file)
        case "mistral": return try mistral(file)
        case "qwen2": return try qwen2(file)
        case "qwen3": return try qwen3(file)
        case "olmo2": return try olmo2(file)
        case "phi3": return try phi3(file)
        case "gemma2": return try gemma2(file)
        case "gemma3_text": return try gemma3(file)
        case "gemma3":
            // The text part of a model that also sees; what it shares with the whole is outside.
            guard let text = try file.object("text_config") else {
                throw ModelError(
                    .corrupt,
                    path: file.path,
                    "key \"text_config\" is missing",
                    remedy: "Fetch config.json again"
                )
            }
            try text.refuse("is_causal", unless: true)
            var configuration = try gemma3(text)
            if let ties = try file.bool("tie_word_embeddings") {
                configuration.tiesEmbeddings = ties
            }
            configuration.endOfSequence = try text.token("eos_token_id")
            configuration.beginOfSequence = try text.token("bos_token_id")
            return configuration
        case let other:
            throw unknownArchitecture(other ?? "(no model_type)", file.path)
        }
    }

    static func unknownArchitecture(_ name: String, _ path: String) -> ModelError {
        ModelError(
            .unsupported,
            path: path,
            "unknown architecture \"\(name)\"",
            remedy: "Known ones are: \(ArchitectureRegistry.names.joined(separator: ", "))"
        )
    }
}
