import CKernels
import Foundation
import Synchronization
import Tensors

/// A LoRA adapter (Hu and others 2021) as PEFT writes it: adapter_config.json and
/// adapter_model.safetensors.
///
/// It changes weights as they are read: W + scale * B A, in float32. Modules that were trained whole
/// (`modules_to_save`) replace the base model's.
final class LoraAdapter: Sendable {
    /// The directory.
    let path: String
    let settings: LoraSettings
    /// Weights of the base model that are replaced, with the tensors that do it.
    let replacements: [String: String]
    /// Weights of the base model that are added to.
    let products: [String: Product]
    private let weights: SafetensorsFile
    /// The product that was read last: the rows of an embedding are asked for one by one.
    private let latest = Mutex<(name: String, factors: Factors)?>(nil)

    /// What PEFT puts before the names of a model's modules.
    static let tensorPrefix = "base_model.model."
    static let weightsName = "adapter_model.safetensors"

    /// The two factors of one weight's addition.
    struct Product: Sendable {
        /// `[r, in]`; of an embedding `[r, V]`.
        let a: String
        /// `[out, r]`; of an embedding `[d, r]`.
        let b: String
        let scale: Double
        /// Whether rows of the weight are inputs: an embedding's, and a Conv1D's.
        let inputsFirst: Bool
        /// `[out, in]`, or `[in, out]` when inputs are first.
        let shape: [Int]
    }

    private struct Factors {
        /// (rows of the weight, r), scaled.
        let left: Matrix
        /// (r, columns) or, inputs first, (columns, r).
        let right: Matrix
    }

    /// Opens an adapter and checks its names and shapes; no tensor is read yet.
    ///
    /// - Parameter directory: As `PeftModel.save_pretrained` writes it.
    /// - Throws: `ModelError`: `missing`, `corrupt`, `mismatch`, `io`, or `unsupported` for kinds of
    ///   adapters that are not computed.
    init(directory: URL) throws {
        let settings = try LoraSettings(
            contentsOf: directory.appendingPathComponent(LoraSettings.fileName)
        )
        let file = directory.appendingPathComponent(Self.weightsName)
        if !FileManager.default.fileExists(atPath: file.path) {
            try PickledWeights.refuse(directory, adapter: true)
        }
        let weights = try SafetensorsFile(path: file.path)
        var pairs: [String: [String: String]] = [:]
        var replacements: [String: String] = [:]
        for tensor in weights.tensorNames {
            let part = try Self.part(tensor, file.path)
            if let factor = part.factor {
                guard pairs[part.module, default: [:]].updateValue(tensor, forKey: factor) == nil
                else { throw Self.unknown(tensor, file.path) }
            } else {
                guard replacements.updateValue(tensor, forKey: part.module) == nil else {
                    throw Self.unknown(tensor, file.path)
                }
            }
        }
        var products: [String: Product] = [:]
        for (module, tensors) in pairs {
            let product = try Self.product(module, tensors, weights, settings)
            products["\(module).weight"] = product
        }
        path = directory.path
        self.settings = settings
        self.weights = weights
        self.replacements = replacements
        self.products = products
    }

    /// The file with the adapter's weights.
    var weightSource: any WeightSource { weights }

    /// A tensor's place in the base model: the module and which factor, or a whole weight.
    private static func part(_ tensor: String, _ path: String) throws -> (
        module: String, factor: String?
    ) {
        let prefix = tensorPrefix
        guard tensor.hasPrefix(prefix) else { throw unknown(tensor, path) }
        let bare = tensor.dropFirst(prefix.count)
            .replacingOccurrences(of: ".modules_to_save.", with: ".")
            .replacingOccurrences(of: ".base_layer.", with: ".")
            .replacingOccurrences(of: ".default.", with: ".")
        for factor in ["lora_A", "lora_B"] where bare.hasSuffix(".\(factor).weight") {
            return (String(bare.dropLast(factor.count + 8)), factor)
        }
        for factor in ["lora_embedding_A", "lora_embedding_B"] where bare.hasSuffix(".\(factor)") {
            return (String(bare.dropLast(factor.count + 1)), factor)
        }
        guard !bare.contains("lora_"), [".weight", ".bias"].contains(where: bare.hasSuffix) else {
            throw unknown(tensor, path)
        }
        return (bare, nil)
    }

    private static func unknown(_ tensor: String, _ path: String) -> ModelError {
        ModelError(
            .unsupported,
            path: path,
            "tensor \"\(tensor)\" is no part of a LoRA adapter that is known",
            remedy: "Merge the adapter with PEFT's merge_and_unload and give the result."
        )
    }

    private static func product(
        _ module: String,
        _ tensors: [String: String],
        _ weights: SafetensorsFile,
        _ settings: LoraSettings
    ) throws -> Product {
        func mismatch(_ message: String) -> ModelError {
            ModelError(
                .mismatch,
                path: weights.path,
                "module \(module): \(message)",
                remedy: "Save the adapter again with PEFT."
            )
        }
        let isEmbedding = tensors.keys.contains { $0.hasPrefix("lora_embedding") }
        let kind = isEmbedding ? "lora_embedding_" : "lora_"
        guard tensors.count == 2, let a = tensors[kind + "A"], let b = tensors[kind + "B"] else {
            throw mismatch("needs \(kind)A and \(kind)B, has \(tensors.keys.sorted())")
        }
        guard let first = weights.info(a)?.shape, let second = weights.info(b)?.shape,
            first.count == 2, second.count == 2, first[0] == second[1], first[0] > 0
        else {
            throw mismatch("the shapes of its two factors do not go together")
        }
        guard first[0] == settings.rank(of: module) else {
            throw mismatch("rank \(first[0]), expected \(settings.rank(of: module))")
        }
        guard settings.targets(module) else {
            throw mismatch("is not among the target modules of \(LoraSettings.fileName)")
        }
        // PEFT goes by the kind of layer too, whatever fan_in_fan_out says: in GPT-2 these are Conv1D.
        let isConvolution =
            ["transformer.h.", "h."].contains(where: module.hasPrefix)
            && ["c_attn", "c_proj", "c_fc"].contains { module.hasSuffix($0) }
        let inputsFirst = isEmbedding || isConvolution
        return Product(
            a: a,
            b: b,
            scale: settings.scale(of: module, rank: first[0]),
            inputsFirst: inputsFirst,
            shape: inputsFirst ? [first[1], second[0]] : [second[0], first[1]]
        )
    }

    /// Adds to rows of a weight what the adapter has for it, if anything.
    ///
    /// - Parameters:
    ///   - rows: Which rows of the weight.
    ///   - target: Those rows, end to end.
    /// - Throws: `ModelError` `io`.
    func add(
        to name: String,
        rows: Range<Int>,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        guard let product = products[name], !rows.isEmpty else { return }
        let factors = try factors(name, product)
        let columns = product.shape[1]
        let strip = max(1, (1 << 20) / max(1, columns))
        let sum = Matrix(uninitialized: min(strip, rows.count), columns)
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: strip) {
            let part = first..<min(first + strip, rows.upperBound)
            let delta = sum.slice(rows: 0..<part.count)
            multiply(
                factors.left.slice(rows: part),
                factors.right,
                transposeB: product.inputsFirst,
                into: delta
            )
            ck_add(
                target + (first - rows.lowerBound) * columns,
                delta.base,
                part.count * columns
            )
        }
    }

    private func factors(_ name: String, _ product: Product) throws -> Factors {
        if let known = latest.withLock({ $0?.name == name ? $0?.factors : nil }) { return known }
        let a = try matrix(product.a)
        let b = try matrix(product.b)
        let factors: Factors
        if product.inputsFirst {
            let left = Matrix(uninitialized: a.columns, a.rows)
            for row in 0..<left.rows {
                for k in 0..<left.columns { left[row, k] = a[k, row] * Float(product.scale) }
            }
            factors = Factors(left: left, right: b)
        } else {
            for index in 0..<b.count { b.base[index] *= Float(product.scale) }
            factors = Factors(left: b, right: a)
        }
        latest.withLock { $0 = (name, factors) }
        return factors
    }

    private func matrix(_ name: String) throws -> Matrix {
        let info = try weights.requiredInfo(name)
        let value = Matrix(uninitialized: info.rowCount, info.rowLength)
        try weights.read(
            name,
            into: UnsafeMutableBufferPointer(start: value.base, count: value.count)
        )
        return value
    }
}
