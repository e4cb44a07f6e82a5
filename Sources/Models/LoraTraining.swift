import Tensors

/// How low-rank factors are added to a model, under the names of PEFT's `LoraConfig`.
public struct LoraOptions: Codable, Sendable, Equatable {
    /// r: rows of A, columns of B.
    public var rank = 8
    /// What the product is multiplied by, times the rank: the scale is alpha / r.
    public var alpha: Float = 16
    /// The share of a map's inputs that is set to 0 on the way into A.
    public var dropout: Float = 0
    /// The last parts of the names of linear maps, such as `q_proj`; nil for what PEFT takes for the
    /// architecture, `all-linear` for every map inside the blocks.
    public var targets: [String]?

    /// One key for each property.
    public enum CodingKeys: String, CodingKey, CaseIterable {
        /// See the property.
        case rank, alpha, dropout, targets
    }

    /// Rank 8, alpha 16.
    public init() {}

    /// Keys that are not there keep their defaults.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        rank = try c.decodeIfPresent(Int.self, forKey: .rank) ?? rank
        alpha = try c.decodeIfPresent(Float.self, forKey: .alpha) ?? alpha
        dropout = try c.decodeIfPresent(Float.self, forKey: .dropout) ?? dropout
        // As PEFT has it: one name may stand without brackets.
        if let one = try? c.decodeIfPresent(String.self, forKey: .targets) {
            targets = [one]
        } else {
            targets = try c.decodeIfPresent([String].self, forKey: .targets)
        }
    }

    /// Every linear map inside the blocks, as a target.
    public static let allLinear = "all-linear"
}

extension TransformerModel {
    /// The linear maps inside the blocks by the names of their modules.
    private var linears: [(module: String, linear: Linear)] {
        blocks.flatMap(\.linears).map { (String($0.weight.name.dropLast(".weight".count)), $0) }
    }

    /// The last parts of the names of linear maps that can be targets.
    public var loraTargets: [String] {
        var seen: Set<String> = []
        return linears.map { Self.lastPart($0.module) }.filter { seen.insert($0).inserted }
    }

    private static func lastPart(_ module: String) -> String {
        module.split(separator: ".").last.map(String.init) ?? module
    }

    /// What PEFT takes where no targets are named (its table of target modules by model type).
    private var usualTargets: [String] {
        switch configuration.modelType {
        case "gpt2": ["c_attn"]
        case "gpt_neox": ["query_key_value"]
        case "phi3": ["qkv_proj"]
        default: ["q_proj", "v_proj"]
        }
    }

    /// The targets that `options` names, or the usual ones.
    public func targets(of options: LoraOptions) -> [String] {
        let named = options.targets ?? usualTargets
        return named.contains(LoraOptions.allLinear) ? loraTargets : named
    }

    /// Gives linear maps low-rank factors, which are trained in the place of all other weights: A uniform
    /// in +-1/sqrt(in), B zero, as PEFT starts them.
    ///
    /// - Precondition: Each target is one of `loraTargets`; rank is above 0.
    public func addLora(_ options: LoraOptions, seed: UInt64) {
        let targets = Set(targets(of: options))
        precondition(options.rank > 0 && targets.isSubset(of: loraTargets), "targets not checked")
        for (module, linear) in linears where targets.contains(Self.lastPart(module)) {
            let name = LoraAdapter.tensorPrefix + module
            let a = Parameter(
                name: "\(name).lora_A.weight",
                zeros: [options.rank, linear.inputs]
            )
            let b = Parameter(
                name: "\(name).lora_B.weight",
                zeros: [linear.outputs, options.rank]
            )
            var random = RandomNumbers(seed: seed, purpose: a.name)
            let bound = 1 / Float(linear.inputs).squareRoot()
            a.value.fillUniform(bound: bound, using: &random)
            linear.lora = LoraFactors(
                a: a,
                b: b,
                scale: options.alpha / Float(options.rank),
                dropout: options.dropout
            )
        }
    }

    /// See `LanguageModel`.
    public var trainedParameters: [Parameter] {
        let factors = linears.flatMap { $0.linear.lora?.parameters ?? [] }
        return factors.isEmpty ? parameters : factors
    }

    /// Every weight once, with what its factors make of it: a copy where there are factors, else the weight
    /// itself.
    public var mergedParameters: [Parameter] {
        let factors = Dictionary(
            linears.compactMap { entry in
                entry.linear.lora.map { (entry.linear.weight.name, (entry.linear.layout, $0)) }
            },
            uniquingKeysWith: { first, _ in first }
        )
        return parameters.map { parameter in
            guard let (layout, lora) = factors[parameter.name] else { return parameter }
            let merged = parameter.value.copied()
            let (a, b) = (lora.a.value, lora.b.value)
            // B A as the weight lies: [out, in], or its transpose.
            if layout == .outputsFirst {
                multiply(b, a, into: merged, alpha: lora.scale, beta: 1)
            } else {
                multiply(
                    a,
                    transposeA: true,
                    b,
                    transposeB: true,
                    into: merged,
                    alpha: lora.scale,
                    beta: 1
                )
            }
            return Parameter(name: parameter.name, shape: parameter.shape, value: merged)
        }
    }
}
