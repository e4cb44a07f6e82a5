/// Rotary positions in config.json: "rope_theta" and "rope_scaling" of transformers 4,
/// "rope_parameters" of transformers 5.
extension ModelConfiguration {
    /// - Parameters:
    ///   - thetaKey: The base's name outside the object.
    ///   - partKey: The name there of the share of each head that is turned; nil where a family turns
    ///     all of it.
    ///   - part: The share where none is given.
    mutating func readRope(
        _ file: ConfigFile,
        thetaKey: String = "rope_theta",
        partKey: String? = nil,
        part: Double = 1
    ) throws {
        let rope = try ropeObject(file, "rope_scaling") ?? ropeObject(file, "rope_parameters")
        ropeTheta = try rope?.float("rope_theta") ?? file.float(thetaKey) ?? 10_000
        let given = try rope?.number("partial_rotary_factor")
        if let partKey {
            let share = try given ?? file.number(partKey) ?? part
            guard share > 0, share <= 1 else {
                throw ModelError(
                    .corrupt,
                    path: file.path,
                    "\"\(partKey)\" is \(share)",
                    remedy: "Expected a share of each head, above 0 and up to 1"
                )
            }
            // The head size is not validated yet; a product beyond Int's range is not one.
            let size = Int(exactly: (Double(headSize) * share).rounded(.down)) ?? 0
            rotarySize = size == headSize ? nil : size
        } else if let given {
            try file.refuse("partial_rotary_factor", "\(given)", unless: ["1.0"])
        }
        if let rope { ropeScaling = try scaling(rope, file) }
    }

    /// Gemma 3's: a set for each kind of layer in transformers 5; in 4, "rope_theta" and "rope_scaling"
    /// are for the full layers and "rope_local_base_freq" is for the others.
    mutating func readLocalRope(_ file: ConfigFile) throws {
        let both = try ropeObject(file, "rope_parameters")
        let scaled = try ropeObject(file, "rope_scaling")
        guard both == nil || scaled == nil else {
            throw ModelError(
                .unsupported,
                path: file.path,
                "\"rope_scaling\" and \"rope_parameters\" are both given",
                remedy: "Keep the one that the model was trained with"
            )
        }
        let full = try both?.object("full_attention") ?? scaled
        let local = try both?.object("sliding_attention")
        ropeTheta = try full?.float("rope_theta") ?? file.float("rope_theta") ?? 1_000_000
        localRopeTheta =
            try local?.float("rope_theta") ?? file.float("rope_local_base_freq") ?? 10_000
        if let local {
            let kind = try local.string("rope_type") ?? "default"
            try local.refuse("rope_type", kind, unless: ["default"])
        }
        if let full { ropeScaling = try scaling(full, file) }
    }

    /// An object of rotary keys; an empty one counts as absent, as in transformers.
    private func ropeObject(_ file: ConfigFile, _ key: String) throws -> ConfigFile? {
        try file.object(key).flatMap { $0.isEmpty ? nil : $0 }
    }

    private func scaling(_ rope: ConfigFile, _ file: ConfigFile) throws -> RopeScaling? {
        var kind = try rope.string("rope_type") ?? rope.string("type") ?? "default"
        // Names that long rotary positions had in early Phi-3 files.
        if modelType == "phi3", ["su", "yarn"].contains(kind) { kind = "longrope" }
        func original() throws -> Int {
            let key = "original_max_position_embeddings"
            // Phi-3's class always has the key outside the object, 4096 where it is not given.
            if modelType == "phi3" { return try file.int(key) ?? 4096 }
            return try file.int(key) ?? rope.int(key) ?? maxPositions
        }
        func need<Value>(_ value: Value?, _ key: String) throws -> Value {
            guard let value else {
                throw ModelError(
                    .corrupt,
                    path: file.path,
                    "rotary scaling \"\(kind)\" without \"\(key)\"",
                    remedy: "Fetch config.json again"
                )
            }
            return value
        }
        switch kind {
        case "default":
            return nil
        case "linear":
            return .linear(factor: try need(rope.float("factor"), "factor"))
        case "llama3":
            var scaling = RopeScaling.Llama3()
            scaling.factor = try need(rope.float("factor"), "factor")
            scaling.lowFrequencyFactor =
                try need(rope.float("low_freq_factor"), "low_freq_factor")
            scaling.highFrequencyFactor =
                try need(rope.float("high_freq_factor"), "high_freq_factor")
            scaling.originalMaxPositions = try original()
            return .llama3(scaling)
        case "yarn":
            let original = try original()
            var scaling = RopeScaling.Yarn(
                factor: try rope.float("factor") ?? Float(maxPositions) / Float(original),
                originalMaxPositions: original
            )
            scaling.attentionFactor = try rope.float("attention_factor")
            // 0 stands for the default too.
            func bound(_ key: String, _ usual: Float) throws -> Float {
                let value = try rope.float(key) ?? 0
                return value == 0 ? usual : value
            }
            scaling.betaFast = try bound("beta_fast", 32)
            scaling.betaSlow = try bound("beta_slow", 1)
            scaling.scale = try rope.float("mscale")
            scaling.scaleAllDimensions = try rope.float("mscale_all_dim")
            scaling.truncates = try rope.bool("truncate") ?? true
            return .yarn(scaling)
        case "longrope":
            var scaling = RopeScaling.LongRope(
                shortFactors: try need(rope.floats("short_factor"), "short_factor"),
                longFactors: try need(rope.floats("long_factor"), "long_factor"),
                originalMaxPositions: try original()
            )
            scaling.attentionFactor = try rope.float("attention_factor")
            scaling.factor = try rope.float("factor")
            return .longRope(scaling)
        default:
            try rope.refuse(
                "rope_type",
                kind,
                unless: ["default", "linear", "llama3", "yarn", "longrope"]
            )
            return nil
        }
    }
}

extension RopeScaling {
    /// "rope_scaling" as both versions of transformers read it.
    var jsonObject: [String: Any] {
        switch self {
        case .linear(let factor):
            return ["rope_type": "linear", "factor": factor.decimal]
        case .llama3(let scaling):
            return [
                "rope_type": "llama3", "factor": scaling.factor.decimal,
                "low_freq_factor": scaling.lowFrequencyFactor.decimal,
                "high_freq_factor": scaling.highFrequencyFactor.decimal,
                "original_max_position_embeddings": scaling.originalMaxPositions,
            ]
        case .yarn(let scaling):
            var object: [String: Any] = [
                "rope_type": "yarn", "factor": scaling.factor.decimal,
                "original_max_position_embeddings": scaling.originalMaxPositions,
                "beta_fast": scaling.betaFast.decimal, "beta_slow": scaling.betaSlow.decimal,
                "truncate": scaling.truncates,
            ]
            object["attention_factor"] = scaling.attentionFactor?.decimal
            object["mscale"] = scaling.scale?.decimal
            object["mscale_all_dim"] = scaling.scaleAllDimensions?.decimal
            return object
        case .longRope(let scaling):
            var object: [String: Any] = [
                "rope_type": "longrope", "short_factor": scaling.shortFactors.map(\.decimal),
                "long_factor": scaling.longFactors.map(\.decimal),
                "original_max_position_embeddings": scaling.originalMaxPositions,
            ]
            object["attention_factor"] = scaling.attentionFactor?.decimal
            object["factor"] = scaling.factor?.decimal
            return object
        }
    }
}

extension Float {
    /// The shortest decimal that means this float, so that 1e-5 is not written as 9.99999974e-06.
    var decimal: Double { Double("\(self)") ?? Double(self) }
}
