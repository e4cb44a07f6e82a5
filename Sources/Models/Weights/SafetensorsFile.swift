/// One safetensors file, mapped and checked at opening.
///
/// Besides weights it gives the integers and bytes that checkpoints keep (optimiser state).
public final class SafetensorsFile: WeightSource, MappedWeightSource {
    /// The file.
    public let path: String
    /// All names, sorted.
    public let tensorNames: [String]
    /// The strings of the header's `__metadata__`.
    public let metadata: [String: String]
    private let tensors: [String: StoredTensor]

    /// Opens a file and checks its header; no tensor is read yet.
    ///
    /// - Parameter path: A `.safetensors` file.
    /// - Throws: `ModelError`: `missing`, `io`, `corrupt`, or `unsupported` for element types.
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        let header = try SafetensorsHeader(of: file)
        var tensors: [String: StoredTensor] = [:]
        tensors.reserveCapacity(header.entries.count)
        for entry in header.entries {
            tensors[entry.info.name] = StoredTensor(
                info: entry.info,
                file: file,
                offset: entry.offset
            )
        }
        self.path = path
        self.tensors = tensors
        tensorNames = tensors.keys.sorted()
        metadata = header.metadata
    }

    func stored(_ name: String) -> StoredTensor? { tensors[name] }

    /// A tensor's bytes as they are stored (little-endian).
    ///
    /// - Parameter name: A tensor's name.
    /// - Returns: `byteCount` bytes.
    /// - Throws: `ModelError` `missing` or `io`.
    public func bytes(_ name: String) throws -> [UInt8] { try rawBytes(name) }

    /// A tensor of i64.
    ///
    /// - Parameter name: A tensor's name.
    /// - Returns: The elements, row-major.
    /// - Throws: `ModelError`: `missing`, `io`, or `mismatch` when it is of another type.
    public func int64s(_ name: String) throws -> [Int64] {
        let tensor = try required(name)
        guard tensor.info.type == .i64 else {
            throw ModelError(
                .mismatch,
                path: path,
                "tensor \"\(name)\": expected i64, found \(tensor.info.type.rawValue)"
            )
        }
        return try tensor.file.withBytes(offset: tensor.offset, count: tensor.info.byteCount) {
            bytes in
            (0..<tensor.info.elementCount).map {
                Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self))
            }
        }
    }
}
