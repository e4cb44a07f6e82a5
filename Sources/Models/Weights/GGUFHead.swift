/// The head of one GGUF file: version, metadata and tensor descriptions, checked against the file.
struct GGUFHead {
    /// The file.
    let path: String
    private(set) var version = 0
    private(set) var metadata: [String: GGUFValue] = [:]
    private(set) var tensors: [String: StoredTensor] = [:]

    private static let alignmentLimit = 1 << 20
    /// Real ones stay below 20 MB: a vocabulary of 260,000 with its merges.
    private static let headLimit = 256 << 20
    private static let dimensionLimit = 4

    /// Reads and checks the head of a file; no tensor is read.
    ///
    /// - Throws: `ModelError`: `missing`, `io`, `corrupt`, or `unsupported` (version, byte order,
    ///   tensor types).
    init(path: String) throws {
        let file = try MappedFile(path: path)
        self = try file.withBytes(offset: 0, count: min(file.size, Self.headLimit)) {
            try GGUFHead($0, file: file)
        }
        file.release(offset: 0, count: min(file.size, Self.headLimit))
    }

    private init(_ bytes: UnsafeRawBufferPointer, file: MappedFile) throws {
        path = file.path
        var cursor = GGUFCursor(bytes, path: file.path)
        guard bytes.count >= 24, try cursor.number(UInt32.self) == 0x4655_4747 else {
            throw ModelError(
                .corrupt,
                path: file.path,
                "not a GGUF file: it does not begin with \"GGUF\"",
                remedy: file.guessedRemedy()
            )
        }
        version = try Self.version(&cursor, file: file)
        // A tensor's description takes at least 24 bytes, a key with its value 13.
        let tensorCount = try cursor.count(of: "tensors", minimum: 24)
        let keyCount = try cursor.count(of: "metadata keys", minimum: 13)
        for _ in 0..<keyCount {
            let key = try cursor.string()
            let type = try cursor.number(UInt32.self)
            let value = try cursor.value(type: type)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw cursor.corrupt("duplicate metadata key \"\(key)\"")
            }
        }
        var raw: [RawTensor] = []
        for _ in 0..<tensorCount { raw.append(try RawTensor(&cursor, path: file.path)) }
        let alignment = try Self.alignment(metadata, cursor)
        let dataStart = (cursor.position + alignment - 1) & ~(alignment - 1)
        try place(raw, dataStart: dataStart, alignment: alignment, file: file)
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

    private mutating func place(
        _ raw: [RawTensor],
        dataStart: Int,
        alignment: Int,
        file: MappedFile
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
            guard tensors.updateValue(stored, forKey: tensor.name) == nil else {
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
            guard dimensions <= GGUFHead.dimensionLimit else {
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
                    remedy:
                        "Take a file quantised as Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL or IQ4_XS, or F16."
                )
            }
            self.type = type
            offset = try cursor.number(UInt64.self)
        }
    }
}
