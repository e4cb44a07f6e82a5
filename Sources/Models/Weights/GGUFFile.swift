/// A GGUF model (versions 2 and 3, little-endian), mapped and checked at opening: one file, or all
/// parts of a split one.
///
/// Layout (github.com/ggml-org/ggml, docs/gguf.md): magic, version, counts, metadata, tensor
/// descriptions, then the tensors at multiples of `general.alignment`. Dimensions stand there innermost
/// first; here shapes are row-major as in PyTorch.
public final class GGUFFile: WeightSource, MappedWeightSource {
    /// The file; of a split model the first part.
    public let path: String
    /// All files of the model: one, or the parts in their order.
    public let paths: [String]
    /// 2 or 3.
    public let version: Int
    /// All metadata: architecture, hyperparameters, tokenizer.
    ///
    /// Of a split model the first part's.
    public let metadata: [String: GGUFValue]
    /// All names, sorted.
    public let tensorNames: [String]
    private let tensors: [String: StoredTensor]

    /// Opens a file and checks its metadata and tensor ranges; no tensor is read yet.
    ///
    /// - Parameter path: A `.gguf` file. Any part of a split model opens all of it; the others
    ///   (NAME-00001-of-00003.gguf and so on) must lie beside it.
    /// - Throws: `ModelError`: `missing` (also a part, by name), `io`, `corrupt`, `mismatch` (parts
    ///   that do not belong together), or `unsupported` (version, byte order, tensor types).
    public init(path: String) throws {
        let given = try GGUFHead(path: path)
        var heads = [given]
        if let split = try GGUFSplit(given) {
            heads = try (0..<split.count).map { part in
                part == split.number ? given : try split.openPart(part)
            }
            try split.check(heads)
        }
        var tensors: [String: StoredTensor] = [:]
        for head in heads {
            for (name, tensor) in head.tensors {
                guard tensors.updateValue(tensor, forKey: name) == nil else {
                    throw ModelError(
                        .corrupt,
                        path: head.path,
                        "tensor \"\(name)\" is in another part too",
                        remedy: ModelError.fetchAgain
                    )
                }
            }
        }
        paths = heads.map(\.path)
        self.path = paths.first ?? path
        version = given.version
        metadata = heads.first?.metadata ?? given.metadata
        self.tensors = tensors
        tensorNames = tensors.keys.sorted()
    }

    func stored(_ name: String) -> StoredTensor? { tensors[name] }
}
