/// One GGUF file (versions 2 and 3, little-endian), mapped and checked at opening.
///
/// Layout (github.com/ggml-org/ggml, docs/gguf.md): magic, version, counts, metadata, tensor
/// descriptions, then the tensors at multiples of `general.alignment`. Dimensions stand there innermost
/// first; here shapes are row-major as in PyTorch.
public final class GGUFFile: WeightSource, MappedWeightSource {
    /// The file.
    public let path: String
    /// 2 or 3.
    public let version: Int
    /// All metadata: architecture, hyperparameters, tokenizer.
    public let metadata: [String: GGUFValue]
    /// All names, sorted.
    public let tensorNames: [String]
    private let tensors: [String: StoredTensor]

    private static let alignmentLimit = 1 << 20
    /// Real ones stay below 20 MB: a vocabulary of 260,000 with its merges.
    private static let headLimit = 256 << 20
    private static let dimensionLimit = 4

    /// Opens a file and checks its metadata and tensor ranges; no tensor is read yet.
    ///
    /// - Parameter path: A `.gguf` file.
    /// - Throws: `ModelError`: `missing`, `io`, `corrupt`, or `unsupported` (version, byte order,
    ///   tensor types, split files).
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        let head = try file.withBytes(offset: 0, count: min(file.size, Self.headLimit)) {
            try Self.parse($0, file: file)
        }
        self.path = path
        version = head.version
        metadata = head.metadata
        tensors = head.tensors
        tensorNames = head.tensors.keys.sorted()
    }

    func stored(_ name: String) -> StoredTensor? { tensors[name] }

    private struct Head {
        var version = 0
        var metadata: [String: GGUFValue] = [:]
        var tensors: [String: StoredTensor] = [:]
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer, file: MappedFile) throws -> Head {
        var head = Head()
        var cursor = GGUFCursor(bytes, path: file.path)
        guard bytes.count >= 24, try cursor.number(UInt32.self) == 0x4655_4747 else {
            throw ModelError(
                .corrupt,
                path: file.path,
                "not a GGUF file: it does not begin with \"GGUF\"",
                remedy: file.guessedRemedy()
            )
        }
        head.version = try version(&cursor, file: file)
        // A tensor's description takes at least 24 bytes, a key with its value 13.
        let tensorCount = try cursor.count(of: "tensors", minimum: 24)
        let keyCount = try cursor.count(of: "metadata keys", minimum: 13)
        for _ in 0..<keyCount {
            let key = try cursor.string()
            let type = try cursor.number(UInt32.self)
            let value = try cursor.value(type: type)
            guard head.metadata.updateValue(value, forKey: key) == nil else {
                throw cursor.corrupt("duplicate metadata key \"\(key)\"")
            }
        }
        if case .int(let parts) = head.metadata["split.count"], parts > 1 {
            throw ModelError(
                .unsupported,
                path: file.path,
                "this is one of \(parts) parts of a split model",
                remedy: "Merge them with `llama-gguf-split --merge`."
            )
        }
        var raw: [RawTensor] = []
        for _ in 0..<tensorCount { raw.append(try RawTensor(&cursor, path: file.path)) }
        let alignment = try alignment(head.metadata, cursor)
        let dataStart = (cursor.position + alignment - 1) & ~(alignment - 1)
        try place(raw, dataStart: dataStart, alignment: alignment, file: file, into: &head)
        return head
    }

    private static func version(_ cursor: inout GGUFCursor, file: MappedFile) throws -> Int {
        let version = try cursor.number(UInt32.self)
        guard [2, 3].contains(version) else {
            let swapped = [1, 2, 3].contains(version.byteSwapped)
            throw ModelError(
                .unsupported,
                path: file.path,
                swapped ? "a big-endian GGUF file" : "GGUF version \(version)",
                remedy: "Convert the model again with a current convert_hf_to_gguf.py."
            )
        }
        return Int(version)
    }

    private static func alignment(
        _ metadata: [String: GGUFValue],
        _ cursor: GGUFCursor
    ) throws -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .int(let alignment) = value, alignment > 0, alignment <= alignmentLimit,
            alignment & (alignment - 1) == 0
        else {
            throw cursor.corrupt(
                "general.alignment must be a power of two up to \(alignmentLimit), not \(value)"
            )
        }
        return Int(alignment)
    }

    private static func place(
        _ raw: [RawTensor],
        dataStart: Int,
        alignment: Int,
        file: MappedFile,
        into head: inout Head
    ) throws {
        let room = max(0, file.size - dataStart)
        var end = 0
        for tensor in raw.sorted(by: { $0.offset < $1.offset }) {
            func corrupt(_ message: String) -> ModelError {
                ModelError(
                    .corrupt,
                    path: file.path,
                    "tensor \"\(tensor.name)\": \(message)",
                    remedy: ModelError.fetchAgain
                )
            }
            guard let bytes = tensor.type.byteCount(shape: tensor.shape) else {
                throw corrupt("shape \(tensor.shape) does not go with \(tensor.type.rawValue)")
            }
            guard tensor.offset % UInt64(alignment) == 0 else {
                throw corrupt("offset \(tensor.offset) is not a multiple of \(alignment)")
            }
            guard tensor.offset <= UInt64(room), bytes <= room - Int(tensor.offset) else {
                throw corrupt(
                    "\(bytes) bytes at offset \(tensor.offset) of the data reach past the end of "
                        + "the file, which has \(room) bytes of data"
                )
            }
            guard bytes == 0 || Int(tensor.offset) >= end else {
                throw corrupt("overlaps the tensor before it")
            }
            end = max(end, Int(tensor.offset) + bytes)
            let info = TensorInfo(
                name: tensor.name,
                shape: tensor.shape,
                type: tensor.type,
                byteCount: bytes
            )
            let stored = StoredTensor(
                info: info,
                file: file,
                offset: dataStart + Int(tensor.offset)
            )
            guard head.tensors.updateValue(stored, forKey: tensor.name) == nil else {
                throw corrupt("there are two of that name")
            }
        }
    }

    /// A tensor as the file states it, not yet checked against the file's size.
    private struct RawTensor {
        let name: String
        let shape: [Int]
        let type: WeightType
        /// From the start of the data.
        let offset: UInt64

        init(_ cursor: inout GGUFCursor, path: String) throws {
            name = try cursor.string()
            let dimensions = try cursor.number(UInt32.self)
            guard dimensions <= GGUFFile.dimensionLimit else {
                throw cursor.corrupt("tensor \"\(name)\" with \(dimensions) dimensions")
            }
            var sizes: [Int] = []
            for _ in 0..<dimensions {
                let size = try cursor.number(UInt64.self)
                guard let size = Int(exactly: size) else {
                    throw cursor.corrupt("tensor \"\(name)\": a dimension of \(size)")
                }
                sizes.append(size)
            }
            shape = sizes.reversed()
            let number = try cursor.number(UInt32.self)
            guard let type = WeightType(gguf: number) else {
                throw ModelError(
                    .unsupported,
                    path: path,
                    "tensor \"\(name)\" is of GGUF type \(number), which Retort does not read",
                    remedy: "Take a file quantised as Q4_0 to Q8_0 or Q2_K to Q6_K, or F16."
                )
            }
            self.type = type
            offset = try cursor.number(UInt64.self)
        }
    }
}
