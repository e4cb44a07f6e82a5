import Foundation

/// config.json as Hugging Face writes it: the keys that the known architectures use.
private struct ConfigFile: Decodable {
    struct Rope: Decodable {
        var ropeTheta: Double?
        var ropeType: String?
        var type: String?
        var factor: Double?
        var lowFreqFactor: Double?
        var highFreqFactor: Double?
        var originalMaxPositionEmbeddings: Int?
    }

    /// Some configurations give one id, some a list.
    struct TokenID: Decodable {
        var value: Int?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let one = try? container.decode(Int.self) {
                value = one
            } else {
                value = (try? container.decode([Int].self))?.first
            }
        }
    }

    var modelType: String?
    var vocabSize: Int?
    var eosTokenId: TokenID?
    var bosTokenId: TokenID?
    var tieWordEmbeddings: Bool?
    // Llama
    var hiddenSize: Int?
    var numHiddenLayers: Int?
    var numAttentionHeads: Int?
    var numKeyValueHeads: Int?
    var headDim: Int?
    var intermediateSize: Int?
    var maxPositionEmbeddings: Int?
    var rmsNormEps: Double?
    var ropeTheta: Double?
    var ropeScaling: Rope?
    var ropeParameters: Rope?
    var hiddenAct: String?
    var attentionBias: Bool?
    var mlpBias: Bool?
    // GPT-2
    var nEmbd: Int?
    var nLayer: Int?
    var nHead: Int?
    var nPositions: Int?
    var nInner: Int?
    var layerNormEpsilon: Double?
    var activationFunction: String?
    var scaleAttnWeights: Bool?
    var scaleAttnByInverseLayerIdx: Bool?
}

extension ModelConfiguration {
    /// Reads config.json.
    ///
    /// - Throws: `ModelError` that names the key that is missing, unknown or out of range.
    public init(contentsOf url: URL) throws {
        let path = url.path
        guard let data = try? Data(contentsOf: url) else {
            throw ModelError(
                .missing,
                path: path,
                "there is no config.json to read",
                remedy: "Give a directory as `save_pretrained` writes it, or a GGUF file"
            )
        }
        let file: ConfigFile
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            file = try decoder.decode(ConfigFile.self, from: data)
        } catch {
            throw ModelError(
                .corrupt,
                path: path,
                "config.json does not parse: \(error)",
                remedy: "Fetch the file again"
            )
        }
        func need(_ value: Int?, _ key: String) throws -> Int {
            guard let value else {
                throw ModelError(
                    .corrupt,
                    path: path,
                    "key \"\(key)\" is missing",
                    remedy: "Fetch config.json again"
                )
            }
            return value
        }
        switch file.modelType {
        case "llama":
            try Self.refuse(path, file.hiddenAct ?? "silu", ["silu"], "hidden_act")
            try Self.refuse(path, "\(file.attentionBias ?? false)", ["false"], "attention_bias")
            try Self.refuse(path, "\(file.mlpBias ?? false)", ["false"], "mlp_bias")
            let hidden = try need(file.hiddenSize, "hidden_size")
            let heads = try need(file.numAttentionHeads, "num_attention_heads")
            self.init(
                modelType: "llama",
                hiddenSize: hidden,
                layerCount: try need(file.numHiddenLayers, "num_hidden_layers"),
                headCount: heads,
                keyValueHeadCount: file.numKeyValueHeads ?? heads,
                headSize: file.headDim ?? (heads > 0 ? hidden / heads : 0),
                intermediateSize: try need(file.intermediateSize, "intermediate_size"),
                vocabularySize: try need(file.vocabSize, "vocab_size"),
                maxPositions: file.maxPositionEmbeddings ?? 2048,
                normEpsilon: Float(file.rmsNormEps ?? 1e-6),
                tiesEmbeddings: file.tieWordEmbeddings ?? false
            )
            let rope = file.ropeParameters ?? file.ropeScaling
            ropeTheta = Float(file.ropeTheta ?? rope?.ropeTheta ?? 10_000)
            if let rope {
                let kind = rope.ropeType ?? rope.type ?? "default"
                try Self.refuse(path, kind, ["default", "llama3"], "rope_scaling.rope_type")
                if kind == "llama3" {
                    var scaling = RopeScaling.Llama3()
                    scaling.factor = Float(rope.factor ?? 8)
                    scaling.lowFrequencyFactor = Float(rope.lowFreqFactor ?? 1)
                    scaling.highFrequencyFactor = Float(rope.highFreqFactor ?? 4)
                    scaling.originalMaxPositions = rope.originalMaxPositionEmbeddings ?? 8192
                    ropeScaling = .llama3(scaling)
                }
            }
        case "gpt2":
            try Self.refuse(
                path,
                file.activationFunction ?? "gelu_new",
                ["gelu_new"],
                "activation_function"
            )
            try Self.refuse(
                path,
                "\(file.scaleAttnWeights ?? true)",
                ["true"],
                "scale_attn_weights"
            )
            try Self.refuse(
                path,
                "\(file.scaleAttnByInverseLayerIdx ?? false)",
                ["false"],
                "scale_attn_by_inverse_layer_idx"
            )
            let hidden = try need(file.nEmbd, "n_embd")
            let heads = try need(file.nHead, "n_head")
            self.init(
                modelType: "gpt2",
                hiddenSize: hidden,
                layerCount: try need(file.nLayer, "n_layer"),
                headCount: heads,
                keyValueHeadCount: heads,
                headSize: heads > 0 ? hidden / heads : 0,
                intermediateSize: file.nInner
                    ?? hidden.multipliedReportingOverflow(by: 4).partialValue,
                vocabularySize: try need(file.vocabSize, "vocab_size"),
                maxPositions: file.nPositions ?? 1024,
                normEpsilon: Float(file.layerNormEpsilon ?? 1e-5),
                tiesEmbeddings: file.tieWordEmbeddings ?? true,
                attentionBias: true,
                activation: .geluTanh
            )
        default:
            throw Self.unknownArchitecture(file.modelType ?? "(no model_type)", path)
        }
        endOfSequence = file.eosTokenId?.value
        beginOfSequence = file.bosTokenId?.value
        try validate(path)
    }

    static func unknownArchitecture(_ name: String, _ path: String) -> ModelError {
        ModelError(
            .unsupported,
            path: path,
            "unknown architecture \"\(name)\"",
            remedy: "Known ones are: \(ArchitectureRegistry.names.joined(separator: ", "))"
        )
    }

    private static func refuse(_ path: String, _ value: String, _ known: [String], _ key: String)
        throws
    {
        guard !known.contains(value) else { return }
        throw ModelError(
            .unsupported,
            path: path,
            "\"\(key)\" is \(value)",
            remedy: "Retort computes \(known.joined(separator: " or ")) only"
        )
    }

    /// Refuses sizes that no model has, before memory is taken for them.
    func validate(_ path: String) throws {
        let limits: [(String, Int, ClosedRange<Int>)] = [
            ("hidden size", hiddenSize, 1...131_072), ("layers", layerCount, 1...1_024),
            ("attention heads", headCount, 1...1_024),
            ("key-value heads", keyValueHeadCount, 1...1_024), ("head size", headSize, 1...1_024),
            ("intermediate size", intermediateSize, 1...1_048_576),
            ("vocabulary", vocabularySize, 1...4_194_304),
            ("positions", maxPositions, 1...16_777_216),
        ]
        for (name, value, range) in limits where !range.contains(value) {
            throw ModelError(
                .corrupt,
                path: path,
                "\(name) of \(value)",
                remedy: "Expected \(range.lowerBound) to \(range.upperBound)"
            )
        }
        guard headCount % keyValueHeadCount == 0 else {
            throw ModelError(
                .corrupt,
                path: path,
                "\(headCount) attention heads over \(keyValueHeadCount) key-value heads",
                remedy: "The first must be a multiple of the second"
            )
        }
        guard modelType != "llama" || headSize % 2 == 0 else {
            throw ModelError(
                .corrupt,
                path: path,
                "an odd head size of \(headSize)",
                remedy: "Rotary positions turn pairs of channels"
            )
        }
        guard modelType != "gpt2" || headSize * headCount == hiddenSize else {
            throw ModelError(
                .corrupt,
                path: path,
                "\(headCount) heads do not divide \(hiddenSize) channels",
                remedy: "Check n_embd and n_head"
            )
        }
    }

    /// config.json's keys and values, as transformers reads them.
    func jsonObject(type: WeightType) -> [String: Any] {
        var object: [String: Any] = [
            "model_type": modelType, "vocab_size": vocabularySize,
            "tie_word_embeddings": tiesEmbeddings,
            "torch_dtype": type == .f32 ? "float32" : type == .bf16 ? "bfloat16" : "float16",
        ]
        if let endOfSequence { object["eos_token_id"] = endOfSequence }
        if let beginOfSequence { object["bos_token_id"] = beginOfSequence }
        if modelType == "gpt2" {
            object.merge(
                [
                    "architectures": ["GPT2LMHeadModel"], "n_embd": hiddenSize,
                    "n_layer": layerCount, "n_head": headCount, "n_positions": maxPositions,
                    "n_ctx": maxPositions, "n_inner": intermediateSize,
                    "layer_norm_epsilon": decimal(normEpsilon), "activation_function": "gelu_new",
                    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
                ],
                uniquingKeysWith: { $1 }
            )
        } else {
            object.merge(
                [
                    "architectures": ["LlamaForCausalLM"], "hidden_size": hiddenSize,
                    "num_hidden_layers": layerCount, "num_attention_heads": headCount,
                    "num_key_value_heads": keyValueHeadCount, "head_dim": headSize,
                    "intermediate_size": intermediateSize,
                    "max_position_embeddings": maxPositions, "rms_norm_eps": decimal(normEpsilon),
                    "rope_theta": decimal(ropeTheta), "hidden_act": "silu",
                ],
                uniquingKeysWith: { $1 }
            )
            if case .llama3(let scaling) = ropeScaling {
                object["rope_scaling"] = [
                    "rope_type": "llama3", "factor": decimal(scaling.factor),
                    "low_freq_factor": decimal(scaling.lowFrequencyFactor),
                    "high_freq_factor": decimal(scaling.highFrequencyFactor),
                    "original_max_position_embeddings": scaling.originalMaxPositions,
                ]
            }
        }
        return object
    }

    /// The shortest decimal that means this float, so that 1e-5 is not written as 9.99999974e-06.
    private func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
}
