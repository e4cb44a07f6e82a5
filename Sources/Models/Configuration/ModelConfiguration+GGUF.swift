extension ModelConfiguration {
    /// Reads the sizes from a GGUF file's metadata.
    ///
    /// What the metadata do not say is as llama.cpp has it: which Gemma layers have a window, Gemma
    /// 3's rotary base there, the score scale of the largest Gemmas.
    ///
    /// - Throws: `ModelError` naming the key that is missing or the architecture that is unknown.
    init(_ file: GGUFFile) throws {
        let keys = try GGUFKeys(file)
        let hidden = try keys.int("embedding_length")
        let heads = try keys.one("attention.head_count")
        guard heads > 0, let embedding = file.info("token_embd.weight"), embedding.shape.count == 2
        else {
            throw ModelError(
                .corrupt,
                path: file.path,
                "no token_embd.weight, or no heads",
                remedy: ModelError.fetchAgain
            )
        }
        self.init(
            modelType: keys.modelType,
            hiddenSize: hidden,
            layerCount: try keys.int("block_count"),
            headCount: heads,
            keyValueHeadCount: try keys.optionalOne("attention.head_count_kv") ?? heads,
            headSize: try keys.optionalInt("attention.key_length") ?? hidden / heads,
            intermediateSize: try keys.one("feed_forward_length"),
            vocabularySize: embedding.shape[0],
            maxPositions: try keys.int("context_length"),
            normEpsilon: try keys.optionalFloat("attention.layer_norm_rms_epsilon")
                ?? keys.float("attention.layer_norm_epsilon"),
            tiesEmbeddings: file.info("output.weight") == nil
        )
        try keys.refuseMixtures(headSize: headSize)
        ropeTheta = try keys.optionalFloat("rope.freq_base") ?? 10_000
        rotarySize = try keys.optionalInt("rope.dimension_count").flatMap {
            $0 == headSize ? nil : $0
        }
        ropeScaling = try keys.ropeScaling(self)
        attentionBias = ["attn_q", "attn_qkv"].contains { file.info("blk.0.\($0).bias") != nil }
        try setWhatTheFamilySays(keys)
        endOfSequence = try? file.int("tokenizer.ggml.eos_token_id")
        beginOfSequence = try? file.int("tokenizer.ggml.bos_token_id")
        try validate(file.path)
    }

    private mutating func setWhatTheFamilySays(_ keys: GGUFKeys) throws {
        let window = try keys.optionalInt("attention.sliding_window").flatMap { $0 > 0 ? $0 : nil }
        switch keys.architecture {
        case "llama":
            feedForwardBias = keys.file.info("blk.0.ffn_down.bias") != nil
            guard window != nil else { break }
            modelType = "mistral"
            setWindow(window) { _ in .sliding }
        case "gpt2":
            activation = .geluTanh
            // The table's own length: some converters wrote another.
            maxPositions = keys.file.info("position_embd.weight")?.shape.first ?? maxPositions
        case "gptneox":
            activation = .gelu
            parallelResidual = try keys.optionalBool("use_parallel_residual") ?? true
        case "gemma2":
            setGemma(largest: 46)
            attentionSoftCap = try keys.optionalFloat("attn_logit_softcapping") ?? 50
            logitSoftCap = try keys.optionalFloat("final_logit_softcapping") ?? 30
            setWindow(window ?? 4096) { $0 % 2 == 0 ? .sliding : .full }
        case "gemma3":
            setGemma(largest: 62)
            ropeTheta = try keys.optionalFloat("rope.freq_base") ?? 1_000_000
            logitSoftCap = try keys.optionalFloat("final_logit_softcapping")
            guard let window else { break }
            localRopeTheta = try keys.optionalFloat("rope.freq_base_swa") ?? 10_000
            setWindow(window) { ($0 + 1) % 6 != 0 ? .sliding : .full }
        case "phi3":
            setWindow(window) { _ in .sliding }
        case "olmo2" where window != nil:
            throw keys.unsupported("a sliding window (OLMo 3)")
        default: break
        }
    }

    /// - Parameter largest: The layers of the family's largest model, whose scores are not scaled by the
    ///   head size.
    private mutating func setGemma(largest: Int) {
        activation = .geluTanh
        embeddingScale = Float(hiddenSize).squareRoot()
        queryScalar = Float(layerCount == largest ? hiddenSize / headCount : headSize)
    }
}
