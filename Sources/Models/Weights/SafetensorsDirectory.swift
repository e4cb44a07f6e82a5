import Foundation

/// The weights of a Hugging Face model directory: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` names.
///
/// The single file wins when both are there, as in transformers. An index is trusted only if every
/// shard that it names exists and holds exactly the tensors that it says: stale indices
/// (renamed keys, missing shards, left-over files) are a common cause of wrong weights.
public final class SafetensorsDirectory: WeightSource, MappedWeightSource {
    /// The directory.
    public let path: String
    /// All names, sorted.
    public let tensorNames: [String]
    /// The names of the weight files within the directory, sorted.
    public let fileNames: [String]
    private let shards: [String: SafetensorsFile]

    static let singleName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"

    /// Opens a directory and checks all its headers; no tensor is read yet.
    ///
    /// - Parameter path: A directory as `save_pretrained` writes it.
    /// - Throws: `ModelError`: `missing` (directory, shard), `corrupt`, `mismatch` (index and shards
    ///   disagree), `io`, `unsupported`.
    public init(path: String) throws {
        var isDirectory: ObjCBool = false
        let manager = FileManager.default
        guard manager.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue
        else {
            throw ModelError(
                .missing,
                path: path,
                "no such directory",
                remedy: "Check the path, or fetch the model first."
            )
        }
        let directory = URL(fileURLWithPath: path, isDirectory: true)
        let single = directory.appendingPathComponent(Self.singleName).path
        let index = directory.appendingPathComponent(Self.indexName).path
        var shards: [String: SafetensorsFile] = [:]
        if manager.fileExists(atPath: single) {
            let file = try SafetensorsFile(path: single)
            for name in file.tensorNames { shards[name] = file }
            fileNames = [Self.singleName]
        } else if manager.fileExists(atPath: index) {
            let placed = try Self.readIndex(index)
            fileNames = placed.keys.sorted()
            for shard in fileNames {
                let file = try Self.openShard(
                    shard,
                    in: directory,
                    holding: placed[shard] ?? [],
                    index: index
                )
                for name in file.tensorNames { shards[name] = file }
            }
        } else {
            try PickledWeights.refuse(directory)
            let names = (try? manager.contentsOfDirectory(atPath: path)) ?? []
            let gguf = GGUFSplit.models(among: names).first
            throw ModelError(
                .missing,
                path: path,
                "neither \(Self.singleName) nor \(Self.indexName) is in this directory",
                remedy: gguf.map { "To read \($0), name the file itself." }
                    ?? "Fetch the weights, or name a directory that has them."
            )
        }
        self.path = path
        self.shards = shards
        tensorNames = shards.keys.sorted()
    }

    func stored(_ name: String) -> StoredTensor? { shards[name]?.stored(name) }

    /// Shard name to the tensors that it should hold.
    private static func readIndex(_ path: String) throws -> [String: Set<String>] {
        let file = try MappedFile(path: path)
        guard file.size <= SafetensorsHeader.byteLimit else {
            throw ModelError(.corrupt, path: path, "an index of \(file.size) bytes is too large")
        }
        var placed: [String: Set<String>] = [:]
        var scanner = JSONScanner(try file.withBytes(offset: 0, count: file.size) { [UInt8]($0) })
        do {
            try scanner.object { scanner, key in
                guard key == "weight_map" else { return try scanner.skipValue() }
                try scanner.object { scanner, name in
                    let shard = try scanner.string()
                    guard isPlainName(shard) else {
                        throw scanner.failure(
                            "tensor \"\(name)\": shard \"\(shard)\" is not a plain file name"
                        )
                    }
                    placed[shard, default: []].insert(name)
                }
            }
            try scanner.expectEnd()
            guard !placed.isEmpty else { throw scanner.failure("no tensors in \"weight_map\"") }
            guard Set(placed.keys.map { $0.lowercased() }).count == placed.count else {
                throw scanner.failure("shard names that differ only in case")
            }
        } catch let failure as JSONScanner.Failure {
            throw ModelError(
                .corrupt,
                path: path,
                "byte \(failure.offset): \(failure.message)",
                remedy: file.guessedRemedy()
            )
        }
        return placed
    }

    /// A single component that stays in the directory. (It may be a link, as in Hugging Face's
    /// download cache.)
    static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
            && !name.unicodeScalars.contains { $0 == "/" || $0 == "\\" || $0.value < 0x20 }
    }

    private static func openShard(
        _ shard: String,
        in directory: URL,
        holding expected: Set<String>,
        index: String
    ) throws -> SafetensorsFile {
        let path = directory.appendingPathComponent(shard).path
        guard FileManager.default.fileExists(atPath: path) else {
            throw ModelError(
                .missing,
                path: path,
                "this shard is named by \(indexName), but is not there",
                remedy: "Fetch the whole model again."
            )
        }
        let file = try SafetensorsFile(path: path)
        let found = Set(file.tensorNames)
        guard found == expected else {
            func some(_ names: Set<String>) -> String {
                names.isEmpty
                    ? "none"
                    : names.sorted().prefix(3).joined(separator: ", ")
                        + (names.count > 3 ? " and \(names.count - 3) more" : "")
            }
            throw ModelError(
                .mismatch,
                path: index,
                "shard \(shard) does not hold what the index says: "
                    + "missing \(some(expected.subtracting(found))), "
                    + "not in the index \(some(found.subtracting(expected)))",
                remedy: "The index is stale: fetch index and shards of one revision."
            )
        }
        return file
    }
}
