import Foundation

/// The metadata of a GGUF file under its architecture's prefix.
struct GGUFKeys {
    let file: GGUFFile
    /// `general.architecture`.
    let architecture: String
    /// The same, as config.json calls it.
    let modelType: String

    /// - Throws: `ModelError` `unsupported` for an architecture that is not read.
    init(_ file: GGUFFile) throws {
        self.file = file
        architecture = try file.string("general.architecture")
        guard let modelType = GGUFNames.modelTypes[architecture] else {
            throw ModelError(
                .unsupported,
                path: file.path,
                "unknown architecture \"\(architecture)\"",
                remedy: "Known ones are: "
                    + GGUFNames.modelTypes.keys.sorted().joined(separator: ", ")
            )
        }
        self.modelType = modelType
    }

    func unsupported(_ what: String) -> ModelError {
        ModelError(
            .unsupported,
            path: file.path,
            "\(architecture) with \(what)",
            remedy: "Use another model."
        )
    }

    private func full(_ key: String) -> String { "\(architecture).\(key)" }
    private func has(_ key: String) -> Bool { file.metadata[full(key)] != nil }

    func int(_ key: String) throws -> Int { try file.int(full(key)) }
    func optionalInt(_ key: String) throws -> Int? { has(key) ? try int(key) : nil }

    func float(_ key: String) throws -> Float { Float(try file.float(full(key))) }
    func optionalFloat(_ key: String) throws -> Float? { has(key) ? try float(key) : nil }

    func optionalBool(_ key: String) throws -> Bool? {
        has(key) ? try file.bool(full(key)) : nil
    }

    /// An integer, or an array of equal ones: some files give a number for each layer.
    func one(_ key: String) throws -> Int {
        guard case .ints(let numbers) = file.metadata[full(key)] else { return try int(key) }
        guard let first = numbers.first, numbers.allSatisfy({ $0 == first }) else {
            throw unsupported("another \(key) in each layer")
        }
        return Int(first)
    }

    func optionalOne(_ key: String) throws -> Int? { has(key) ? try one(key) : nil }

    /// Refuses models that have more than one feed-forward layer a block, and values of another width
    /// than keys.
    func refuseMixtures(headSize: Int) throws {
        if let experts = try optionalInt("expert_count"), experts > 0 {
            throw unsupported("\(experts) experts (a mixture, such as Mixtral)")
        }
        if let length = try optionalInt("attention.value_length"), length != headSize {
            throw unsupported("values of \(length) channels for keys of \(headSize)")
        }
    }

    /// How the rotary positions are stretched: `rope.scaling.*`, or the tables of factors.
    ///
    /// - Throws: `ModelError`: `corrupt`, or `unsupported` for a kind of scaling that is not known.
    func ropeScaling(_ configuration: ModelConfiguration) throws -> RopeScaling? {
        let size = configuration.rotarySize ?? configuration.headSize
        if let factors = try table("rope_freqs.weight", size) {
            return Self.llama3(factors, configuration) ?? Self.divided(factors, configuration)
        }
        let original = try optionalInt("rope.scaling.original_context_length")
        if let long = try table("rope_factors_long.weight", size),
            let short = try table("rope_factors_short.weight", size)
        {
            var scaling = RopeScaling.LongRope(
                shortFactors: short,
                longFactors: long,
                originalMaxPositions: original ?? configuration.maxPositions
            )
            scaling.attentionFactor = try optionalFloat("rope.scaling.attn_factor")
            return .longRope(scaling)
        }
        let key = full("rope.scaling.type")
        let kind = file.metadata[key] == nil ? "none" : try file.string(key)
        switch kind {
        case "none":
            let factor = try optionalFloat("rope.scale_linear") ?? 1
            return factor == 1 ? nil : .linear(factor: factor)
        case "linear": return .linear(factor: try float("rope.scaling.factor"))
        case "yarn":
            var scaling = RopeScaling.Yarn(
                factor: try float("rope.scaling.factor"),
                originalMaxPositions: original ?? configuration.maxPositions
            )
            scaling.betaFast = try optionalFloat("rope.scaling.yarn_beta_fast") ?? scaling.betaFast
            scaling.betaSlow = try optionalFloat("rope.scaling.yarn_beta_slow") ?? scaling.betaSlow
            guard try optionalFloat("rope.scaling.attn_factor") ?? 1 == 1,
                try optionalFloat("rope.scaling.yarn_log_multiplier") ?? 0 == 0
            else { throw unsupported("a scaling of its own after YaRN") }
            return .yarn(scaling)
        default: throw unsupported("rotary scaling \"\(kind)\"")
        }
    }

    /// One factor for each pair of channels that is turned; nil when there is no such table.
    private func table(_ name: String, _ rotarySize: Int) throws -> [Float]? {
        guard file.info(name) != nil else { return nil }
        guard rotarySize > 0 else { throw unsupported("heads of \(rotarySize) channels") }
        return try file.floats(name, expecting: [rotarySize / 2])
    }

    /// Llama 3's scaling, when it makes these factors: the converter writes them, not what made them.
    private static func llama3(_ factors: [Float], _ configuration: ModelConfiguration)
        -> RopeScaling?
    {
        var scaling = RopeScaling.Llama3()
        scaling.factor = factors.max() ?? 1
        let expected = scaling.divisors(theta: configuration.ropeTheta, size: 2 * factors.count)
        let agree = zip(factors, expected).allSatisfy { factor, expected in
            abs(Double(factor) - expected) <= 1e-3 * expected
        }
        return agree ? .llama3(scaling) : nil
    }

    /// Each frequency divided by its factor, whatever the length.
    private static func divided(_ factors: [Float], _ configuration: ModelConfiguration)
        -> RopeScaling
    {
        var scaling = RopeScaling.LongRope(
            shortFactors: factors,
            longFactors: factors,
            originalMaxPositions: configuration.maxPositions
        )
        scaling.attentionFactor = 1
        return .longRope(scaling)
    }
}
