/// One stored tensor: its name, shape and encoding.
public struct TensorInfo: Sendable, Equatable {
    /// The name in the file.
    public let name: String
    /// Row-major, the outermost dimension first: `[out, in]` for a linear layer, as in PyTorch.
    public let shape: [Int]
    /// How the elements are encoded.
    public let type: WeightType
    /// Bytes in the file.
    public let byteCount: Int

    /// Elements in all; 1 for a scalar.
    public var elementCount: Int { shape.reduce(1, *) }
    /// Elements in a row: the last dimension.
    public var rowLength: Int { shape.last ?? 1 }
    /// Rows: the product of all dimensions but the last; 1 for a vector.
    public var rowCount: Int { shape.dropLast().reduce(1, *) }
}

/// A file or directory with named tensors.
///
/// Safe to use from several threads. Names are the file's own: Hugging Face's in safetensors,
/// llama.cpp's in GGUF.
public protocol WeightSource: AnyObject, Sendable {
    /// Where the weights lie, for messages.
    var path: String { get }
    /// All names, sorted.
    var tensorNames: [String] { get }
    /// What is known of a tensor, nil when there is none of that name.
    func info(_ name: String) -> TensorInfo?
    /// Reads a whole tensor as float32, on several threads when it is large.
    ///
    /// - Parameters:
    ///   - name: A tensor's name.
    ///   - into: Exactly `elementCount` floats.
    /// - Throws: `ModelError`: `missing`, `mismatch` (buffer size), `unsupported` (integers), `io`.
    func read(_ name: String, into: UnsafeMutableBufferPointer<Float>) throws
    /// Reads some rows as float32, as `read` does.
    ///
    /// - Parameters:
    ///   - name: A tensor's name.
    ///   - rows: A range within `0..<rowCount`.
    ///   - into: Exactly `rows.count * rowLength` floats.
    /// - Throws: `ModelError` as `read`, and `mismatch` when the rows are out of range.
    func readRows(_ name: String, rows: Range<Int>, into: UnsafeMutableBufferPointer<Float>) throws
}

extension WeightSource {
    /// A tensor's description.
    ///
    /// - Throws: `ModelError` `missing`, naming tensors that end alike.
    public func requiredInfo(_ name: String) throws -> TensorInfo {
        guard let info = info(name) else { throw missingTensor(name) }
        return info
    }

    func missingTensor(_ name: String) -> ModelError {
        let last = name.split(separator: ".").suffix(2).joined(separator: ".")
        let near = tensorNames.filter { $0.hasSuffix(last) || name.hasSuffix($0) }.prefix(3)
        let hint = near.isEmpty ? "" : " (it has \(near.joined(separator: ", ")))"
        return ModelError(
            .missing,
            path: path,
            "no tensor \"\(name)\" among \(tensorNames.count)\(hint)",
            remedy: "Check that the file holds the architecture that its configuration names."
        )
    }

    /// A whole tensor as float32.
    ///
    /// - Parameters:
    ///   - name: A tensor's name.
    ///   - shape: The shape that it must have.
    /// - Returns: The elements, row-major.
    /// - Throws: `ModelError`: as `read`, and `mismatch` with both shapes.
    public func floats(_ name: String, expecting shape: [Int]) throws -> [Float] {
        let info = try requiredInfo(name)
        guard info.shape == shape else {
            throw ModelError(
                .mismatch,
                path: path,
                "tensor \"\(name)\": expected shape \(shape), found \(info.shape)",
                remedy: "Check that weights and configuration belong together."
            )
        }
        return try [Float](unsafeUninitializedCapacity: info.elementCount) { buffer, count in
            let target = UnsafeMutableBufferPointer(rebasing: buffer[..<info.elementCount])
            try read(name, into: target)
            count = info.elementCount
        }
    }
}
