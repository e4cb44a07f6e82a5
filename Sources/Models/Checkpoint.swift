import Foundation
import Synchronization
import Tensors

/// A model on disk: a Hugging Face directory or a GGUF file.
///
/// Weights are read when asked for.
public final class Checkpoint: ParameterSource, Sendable {
    /// The directory or file.
    public let url: URL
    /// The sizes.
    public let configuration: ModelConfiguration
    /// What a GGUF file says of itself; nil for a directory.
    public let gguf: GGUFFile?
    private let weights: any WeightSource
    /// The stored tensors that were read, to find those that no part of the model asks for.
    private let used = Mutex<Set<String>>([])

    /// Opens a model without reading its weights.
    ///
    /// - Parameter url: A directory with config.json and safetensors, or a .gguf file.
    /// - Throws: `ModelError`.
    public init(_ url: URL) throws {
        self.url = url
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
            throw ModelError(
                .missing,
                path: url.path,
                "there is no model here",
                remedy: "Give a Hugging Face directory or a .gguf file"
            )
        }
        if isDirectory.boolValue {
            gguf = nil
            configuration = try ModelConfiguration(
                contentsOf: url.appendingPathComponent("config.json")
            )
            weights = try SafetensorsDirectory(path: url.path)
        } else {
            let file = try GGUFFile(path: url.path)
            gguf = file
            configuration = try ModelConfiguration(file)
            weights = file
        }
    }

    /// The family, with this model's sizes.
    public var architecture: any Architecture { ArchitectureRegistry.make(configuration) }

    /// The number of weights in the file.
    public var parameterCount: Int {
        weights.tensorNames.compactMap { weights.info($0)?.elementCount }.reduce(0, +)
    }

    /// Loads the whole model; every tensor of the file must have a place in it.
    public func model() throws -> TransformerModel {
        let model = try TransformerModel(architecture, from: self)
        let known = [".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"]
        let used = used.withLock { $0 }
        let extra = weights.tensorNames.filter { name in
            !used.contains(name) && !known.contains { name.hasSuffix($0) }
                && !(configuration.tiesEmbeddings && name == "lm_head.weight")
        }
        guard extra.isEmpty else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "\(extra.count) tensors have no place in a \(configuration.modelType) "
                    + "model: \(extra.sorted().prefix(4).joined(separator: ", "))",
                remedy: "Check model_type in config.json"
            )
        }
        return model
    }

    /// See `ParameterSource`; `initial` is not used.
    public func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues = .zeros) throws
        -> Parameter
    {
        // Looked up before memory is taken: a size that the file does not have is refused first.
        _ = try located(name, shape)
        let rows = shape.dropLast().reduce(1, *)
        let value = Matrix(uninitialized: rows, shape.last ?? 1)
        try parameterRows(name, shape, rows: 0..<rows, into: value.base)
        return Parameter(name: name, shape: shape, value: value)
    }

    /// Reads some rows of a weight as float32, as `parameter` would have them.
    ///
    /// For embeddings and heads too large to hold: the rows of a few tokens, or a slice at a time.
    /// The file's pages do not stay in memory. Safe to call from several threads.
    ///
    /// - Parameters:
    ///   - name: The weight's name in a Hugging Face checkpoint.
    ///   - shape: The shape that the weight must have, `[rows, columns]`; a vector is one row.
    ///   - rows: Which rows.
    ///   - into: Room for `rows.count * columns` floats.
    /// - Throws: `ModelError`: `missing`, `mismatch` (shape, rows), `io`.
    public func parameterRows(
        _ name: String,
        _ shape: [Int],
        rows: Range<Int>,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        let place = try located(name, shape)
        guard rows.lowerBound >= 0, rows.upperBound <= shape.dropLast().reduce(1, *) else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "rows \(rows) of \(name), whose shape is \(shape), were asked for"
            )
        }
        try place.layout.read(
            rows: rows,
            shape: shape,
            of: place.name,
            from: weights,
            into: target
        )
        used.withLock { _ = $0.insert(place.name) }
    }

    /// Where a weight is stored, and how.
    private struct Place {
        let name: String
        let layout: StoredLayout
    }

    private func located(_ name: String, _ shape: [Int]) throws -> Place {
        let place = Place(name: storedName(name), layout: layout(name))
        guard let info = weights.info(place.name) else {
            throw ModelError(
                .missing,
                path: url.path,
                "tensor \(place.name) is missing",
                remedy: "The checkpoint is incomplete or of another architecture"
            )
        }
        guard info.shape == place.layout.storedShape(shape), place.layout.fits(shape) else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "tensor \(place.name) has shape \(info.shape), expected "
                    + "\(place.layout.storedShape(shape))",
                remedy: "config.json and the weights do not belong together"
            )
        }
        return place
    }

    private func layout(_ name: String) -> StoredLayout {
        guard gguf != nil,
            name.hasSuffix("q_proj.weight") || name.hasSuffix("k_proj.weight")
        else { return .plain }
        return .interleavedHalves(headSize: configuration.headSize)
    }

    /// Published GPT-2 checkpoints lack the prefix that later ones have.
    private func storedName(_ name: String) -> String {
        if gguf != nil { return Self.ggufName(name) }
        if weights.info(name) == nil, name.hasPrefix("transformer.") {
            let bare = String(name.dropFirst("transformer.".count))
            if weights.info(bare) != nil { return bare }
        }
        return name
    }

    private static let ggufParts = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    private static func ggufName(_ name: String) -> String {
        switch name {
        case "model.embed_tokens.weight": return "token_embd.weight"
        case "model.norm.weight": return "output_norm.weight"
        case "lm_head.weight": return "output.weight"
        default: break
        }
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count > 4, parts[0] == "model", parts[1] == "layers" else { return name }
        let middle = parts[3..<(parts.count - 1)].joined(separator: ".")
        return "blk.\(parts[2]).\(ggufParts[middle] ?? middle).\(parts[parts.count - 1])"
    }
}
