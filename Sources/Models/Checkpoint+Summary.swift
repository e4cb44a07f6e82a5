import Foundation

/// What a checkpoint's files hold, for people.
public struct CheckpointSummary: Sendable, Equatable {
    /// How many tensors have one encoding, and what they take.
    public struct TypeShare: Sendable, Equatable {
        /// The encoding.
        public let type: WeightType
        /// Tensors of it.
        public let tensors: Int
        /// Their elements.
        public let parameters: Int
        /// Their bytes in the files.
        public let bytes: Int
    }

    /// One entry an encoding, the one with most bytes first.
    public let types: [TypeShare]
    /// Elements of all tensors, an adapter's not counted.
    public let parameters: Int
    /// Bytes of all tensors, an adapter's not counted.
    public let bytes: Int
    /// The files that make up the model: see `Checkpoint.files`.
    public let files: [URL]
}

extension Checkpoint {
    /// What the files hold, by encoding.
    public var summary: CheckpointSummary {
        var shares: [WeightType: (tensors: Int, parameters: Int, bytes: Int)] = [:]
        for info in tensors {
            let share = shares[info.type] ?? (0, 0, 0)
            shares[info.type] = (
                share.tensors + 1, share.parameters + info.elementCount,
                share.bytes + info.byteCount
            )
        }
        let types = shares.map {
            CheckpointSummary.TypeShare(
                type: $0.key,
                tensors: $0.value.tensors,
                parameters: $0.value.parameters,
                bytes: $0.value.bytes
            )
        }.sorted { ($0.bytes, $1.type.rawValue) > ($1.bytes, $0.type.rawValue) }
        return CheckpointSummary(
            types: types,
            parameters: types.reduce(0) { $0 + $1.parameters },
            bytes: types.reduce(0) { $0 + $1.bytes },
            files: files
        )
    }

    /// What the files say of every tensor, an adapter's not counted.
    package var tensors: [TensorInfo] { weights.tensorNames.compactMap { weights.info($0) } }

    /// The files that decide what the model computes: the GGUF file or all its parts, or
    /// config.json and the safetensors in the order of their names; then an adapter's two.
    public var files: [URL] {
        modelFiles + adapterFiles
    }

    /// The files of the model itself, without an adapter's.
    public var modelFiles: [URL] {
        if let gguf { return gguf.paths.map { URL(fileURLWithPath: $0) } }
        guard let directory = weights as? SafetensorsDirectory else { return [] }
        let base = URL(fileURLWithPath: directory.path, isDirectory: true)
        return ([ModelLocation.configurationName] + directory.fileNames).sorted()
            .map { base.appendingPathComponent($0) }
    }

    /// The adapter's configuration and weights; empty without one.
    public var adapterFiles: [URL] {
        guard let adapter else { return [] }
        let base = URL(fileURLWithPath: adapter.path, isDirectory: true)
        return [LoraSettings.fileName, LoraAdapter.weightsName]
            .map { base.appendingPathComponent($0) }
    }
}
