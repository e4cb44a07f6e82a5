import Foundation

extension Checkpoint {
    /// The names under which the file may have a head.
    var headNames: [String] {
        (architecture as? any NamedArchitecture).map { $0.storedNames($0.keys.head) } ?? []
    }

    /// Whether the weights hold a head that is not the embedding, though the configuration ties the two:
    /// then the head counts, as in transformers.
    ///
    /// - Throws: `ModelError` when the bytes cannot be read.
    static func hasOwnHead(
        _ configuration: ModelConfiguration,
        in weights: any WeightSource
    ) throws -> Bool {
        let architecture = ArchitectureRegistry.make(configuration)
        guard configuration.tiesEmbeddings, let weights = weights as? any MappedWeightSource,
            let keys = (architecture as? any NamedArchitecture)?.keys
        else { return false }
        func stored(_ name: String) -> StoredTensor? {
            architecture.storedNames(name).lazy.compactMap { weights.stored($0) }.first
        }
        guard let head = stored(keys.head), let embedding = stored(keys.embedding) else {
            return false
        }
        return try !head.hasSameBytes(as: embedding)
    }
}

extension StoredTensor {
    /// Whether both have one shape, encoding and content; reads up to the first difference.
    fileprivate func hasSameBytes(as other: StoredTensor) throws -> Bool {
        guard info.shape == other.info.shape, info.type == other.info.type else { return false }
        let piece = 4 << 20
        for first in stride(from: 0, to: info.byteCount, by: piece) {
            let count = min(piece, info.byteCount - first)
            let same = try file.withBytes(offset: offset + first, count: count) { mine in
                try other.file.withBytes(offset: other.offset + first, count: count) { others in
                    guard let mine = mine.baseAddress, let others = others.baseAddress else {
                        return true
                    }
                    return memcmp(mine, others, count) == 0
                }
            }
            file.release(offset: offset + first, count: count)
            other.file.release(offset: other.offset + first, count: count)
            guard same else { return false }
        }
        return true
    }
}
