import Foundation
import Tensors

/// A model on disk: a Hugging Face directory or a GGUF file.
///
/// Weights are read when asked for.
public final class Checkpoint: ParameterSource {
    /// The directory or file.
    public let url: URL
    /// The sizes.
    public let configuration: ModelConfiguration
    /// What a GGUF file says of itself; nil for a directory.
    public let gguf: GGUFFile?
    private let weights: any WeightSource
    private var used: Set<String> = []

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
        architecture = ArchitectureRegistry.make(configuration)
    }

    /// The family, with this model's sizes.
    public let architecture: any Architecture

    /// The number of weights in the file.
    public var parameterCount: Int {
        weights.tensorNames.compactMap { weights.info($0)?.elementCount }.reduce(0, +)
    }

    /// Loads the whole model; every tensor of the file must have a place in it.
    public func model() throws -> TransformerModel {
        let model = try TransformerModel(architecture, from: self)
        let extra = weights.tensorNames.filter { name in
            !used.contains(name) && !architecture.ignores(name)
                && !name.hasSuffix("rotary_emb.inv_freq")
                && !(configuration.tiesEmbeddings && name.hasSuffix("lm_head.weight"))
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
        let stored = storedName(name)
        guard let info = weights.info(stored) else {
            throw ModelError(
                .missing,
                path: url.path,
                "tensor \(stored) is missing",
                remedy: "The checkpoint is incomplete or of another architecture"
            )
        }
        guard info.shape == shape else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "tensor \(stored) has shape \(info.shape), expected \(shape)",
                remedy: "config.json and the weights do not belong together"
            )
        }
        let columns = shape.last ?? 1
        let rows = shape.dropLast().reduce(1, *)
        let value = Matrix(uninitialized: rows, columns)
        try weights.read(
            stored,
            into: UnsafeMutableBufferPointer(start: value.base, count: value.count)
        )
        used.insert(stored)
        let plain = gguf == nil ? value : unpermuted(value, name)
        return Parameter(name: name, shape: shape, value: plain)
    }

    /// The name under which the file has a weight.
    private func storedName(_ name: String) -> String {
        if gguf != nil { return Self.ggufName(name) }
        return architecture.storedNames(name).first { weights.info($0) != nil } ?? name
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

    /// GGUF files of architecture llama interleave the rotary pairs of q and k: row 2i of a head is
    /// its row i, row 2i + 1 its row i + headSize/2.
    private func unpermuted(_ value: Matrix, _ name: String) -> Matrix {
        guard name.hasSuffix("q_proj.weight") || name.hasSuffix("k_proj.weight") else {
            return value
        }
        let size = configuration.headSize
        let result = Matrix(uninitialized: value.rows, value.columns)
        for row in 0..<value.rows {
            let (head, within) = (row / size, row % size)
            let target = head * size + within / 2 + (within % 2) * (size / 2)
            result.row(target).update(from: value.row(row), count: value.columns)
        }
        return result
    }
}
