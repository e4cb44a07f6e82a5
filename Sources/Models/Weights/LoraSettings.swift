import Foundation

/// What adapter_config.json says of a LoRA adapter (PEFT's `LoraConfig`).
///
/// What would change the arithmetic and is not computed here is refused by its key.
struct LoraSettings: Sendable {
    static let fileName = "adapter_config.json"
    private static let byteLimit = 16 << 20

    /// `base_model_name_or_path`; empty when it is not said.
    private(set) var baseModel = ""
    /// `r`.
    private(set) var rank = 8
    /// `lora_alpha`.
    private(set) var alpha = 8.0
    /// `use_rslora`: the scale is alpha / sqrt(r) instead of alpha / r.
    private(set) var rootScale = false
    /// `target_modules`; empty when it is a pattern.
    private(set) var targets: [String] = []
    /// `rank_pattern`, in its order: the first name that fits a module counts.
    private(set) var ranks: [(name: String, rank: Int)] = []
    /// `alpha_pattern`, the same.
    private(set) var alphas: [(name: String, alpha: Double)] = []

    /// Reads the file.
    ///
    /// - Throws: `ModelError`: `missing`, `corrupt`, or `unsupported` naming the key.
    init(contentsOf url: URL) throws {
        let file = try MappedFile(path: url.path)
        guard file.size <= Self.byteLimit else {
            throw ModelError(.corrupt, path: url.path, "\(file.size) bytes are too many")
        }
        var scanner = JSONScanner(try file.withBytes(offset: 0, count: file.size) { [UInt8]($0) })
        var refused: (key: String, value: String)?
        var kind = ""
        do {
            try scanner.object { scanner, key in
                switch key {
                case "peft_type": kind = try scanner.string()
                case "base_model_name_or_path":
                    baseModel = try scanner.takeNull() ? "" : scanner.string()
                case "r": rank = try scanner.naturalNumber()
                case "lora_alpha": alpha = try scanner.number()
                case "use_rslora": rootScale = try scanner.truth()
                case "target_modules": targets = try scanner.names() ?? []
                case "rank_pattern":
                    try scanner.optionalObject {
                        ranks.append((try Self.plain($1, $0), try $0.naturalNumber()))
                    }
                case "alpha_pattern":
                    try scanner.optionalObject {
                        alphas.append((try Self.plain($1, $0), try $0.number()))
                    }
                default:
                    if let value = try Self.refusal(key, &scanner) { refused = (key, value) }
                }
            }
            try scanner.expectEnd()
        } catch let failure as JSONScanner.Failure {
            throw ModelError(
                .corrupt,
                path: url.path,
                "byte \(failure.offset): \(failure.message)",
                remedy: file.guessedRemedy()
            )
        }
        if kind != "LORA" { refused = ("peft_type", kind.isEmpty ? "not given" : kind) }
        if let refused {
            throw ModelError(
                .unsupported,
                path: url.path,
                "\"\(refused.key)\" is \(refused.value.prefix(100))",
                remedy: "Merge the adapter with PEFT's merge_and_unload and give the result."
            )
        }
    }

    /// The scale of a module's product, alpha / r as a rule.
    func scale(of module: String, rank: Int) -> Double {
        let alpha = alphas.first { Self.fits($0.name, module) }?.alpha ?? alpha
        return alpha / (rootScale ? Double(rank).squareRoot() : Double(rank))
    }

    /// The rank that a module should have.
    func rank(of module: String) -> Int {
        ranks.first { Self.fits($0.name, module) }?.rank ?? rank
    }

    /// Whether the adapter is meant for that module.
    func targets(_ module: String) -> Bool {
        targets.isEmpty || targets.contains { Self.fits($0, module) }
    }

    /// A whole name, or its last parts.
    private static func fits(_ name: String, _ module: String) -> Bool {
        module == name || module.hasSuffix("." + name)
    }

    /// PEFT takes these names for regular expressions; only plain ones mean the same here.
    private static func plain(_ name: String, _ scanner: JSONScanner) throws -> String {
        let bare = name.hasPrefix("^") ? String(name.dropFirst()) : name
        guard !bare.isEmpty,
            bare.unicodeScalars.allSatisfy({
                $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0))
                    || $0 == "_" || $0 == "."
            })
        else { throw scanner.failure("\"\(name)\" is a pattern, not a module's name") }
        return bare
    }

    /// The value of a key that would change what is computed; nil for one that does not matter.
    private static func refusal(_ key: String, _ scanner: inout JSONScanner) throws -> String? {
        let start = scanner.position
        switch key {
        case "bias":
            let value = try scanner.string()
            return value == "none" ? nil : value
        case "init_lora_weights":
            guard scanner.peek() == UInt8(ascii: "\"") else {
                try scanner.skipValue()
                return nil
            }
            // These leave the base model's own weights changed.
            let value = try scanner.string()
            let changes = ["pissa", "olora", "loftq", "corda", "lora_ga"]
            return changes.contains { value.lowercased().hasPrefix($0) } ? value : nil
        case "use_dora", "lora_bias", "use_qalora", "use_bdlora", "layer_replication",
            "trainable_token_indices", "target_parameters", "alora_invocation_tokens",
            "arrow_config", "kasa_config", "monteclora_config", "velora_config", "lora_ga_config":
            try scanner.skipValue()
            let value = scanner.text(from: start)
            return ["null", "false", "[]", "{}"].contains(value) ? nil : value
        default:
            try scanner.skipValue()
            return nil
        }
    }
}

extension JSONScanner {
    /// Takes `null` if it comes next.
    mutating func takeNull() throws -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        try skipValue()
        return true
    }

    /// A finite number.
    mutating func number() throws -> Double {
        _ = peek()
        let start = position
        try skipValue()
        guard let value = Double(text(from: start)), value.isFinite else {
            throw failure("expected a number")
        }
        return value
    }

    mutating func truth() throws -> Bool {
        _ = peek()
        let start = position
        try skipValue()
        switch text(from: start) {
        case "true": return true
        case "false", "null": return false
        default: throw failure("expected true or false")
        }
    }

    /// An array of strings; nil for a single string or null.
    mutating func names() throws -> [String]? {
        guard peek() == UInt8(ascii: "[") else {
            try skipValue()
            return nil
        }
        var names: [String] = []
        try array { names.append(try $0.string()) }
        return names
    }

    /// An object, or null for an empty one.
    mutating func optionalObject(_ body: (inout JSONScanner, String) throws -> Void) throws {
        if try !takeNull() { try object(body) }
    }
}
