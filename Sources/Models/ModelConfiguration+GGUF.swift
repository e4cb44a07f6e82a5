extension ModelConfiguration {
    /// Reads the sizes from a GGUF file's metadata.
    ///
    /// - Throws: `ModelError` naming the key that is missing or the architecture that is unknown.
    init(_ file: GGUFFile) throws {
        let architecture = try file.string("general.architecture")
        guard architecture == "llama" else {
            throw Self.unknownArchitecture(architecture, file.path)
        }
        let hidden = try file.int("llama.embedding_length")
        let heads = try file.int("llama.attention.head_count")
        guard heads > 0, let embedding = file.info("token_embd.weight"),
            let vocabulary = embedding.shape.first
        else {
            throw ModelError(
                .corrupt,
                path: file.path,
                "no token_embd.weight, or no heads",
                remedy: "Fetch the file again"
            )
        }
        self.init(
            modelType: "llama",
            hiddenSize: hidden,
            layerCount: try file.int("llama.block_count"),
            headCount: heads,
            keyValueHeadCount: (try? file.int("llama.attention.head_count_kv")) ?? heads,
            headSize: (try? file.int("llama.attention.key_length")) ?? hidden / heads,
            intermediateSize: try file.int("llama.feed_forward_length"),
            vocabularySize: vocabulary,
            maxPositions: try file.int("llama.context_length"),
            normEpsilon: Float(try file.float("llama.attention.layer_norm_rms_epsilon")),
            tiesEmbeddings: file.info("output.weight") == nil
        )
        if let base = try? file.float("llama.rope.freq_base") { ropeTheta = Float(base) }
        if let kind = try? file.string("llama.rope.scaling.type"), kind != "none" {
            throw ModelError(
                .unsupported,
                path: file.path,
                "rotary scaling \"\(kind)\"",
                remedy: "Use the model's Hugging Face directory"
            )
        }
        guard file.info("rope_freqs.weight") == nil else {
            throw ModelError(
                .unsupported,
                path: file.path,
                "rotary frequencies stored as a tensor (Llama 3.1 and later)",
                remedy: "Use the model's Hugging Face directory"
            )
        }
        endOfSequence = try? file.int("tokenizer.ggml.eos_token_id")
        beginOfSequence = try? file.int("tokenizer.ggml.bos_token_id")
        try validate(file.path)
    }
}
