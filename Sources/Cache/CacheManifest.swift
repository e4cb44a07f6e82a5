import Foundation

/// Bytes of one array, before and after packing.
public struct ArrayBytes: Codable, Sendable, Equatable {
    /// Bytes of the elements.
    public var raw: Int
    /// Bytes in the file.
    public var stored: Int
}

/// A file of the cache and what it must be.
public struct FileEntry: Codable, Sendable, Equatable {
    /// Path below the cache's directory.
    public var path: String
    /// Size.
    public var bytes: Int
    /// SHA-256 of the content.
    public var sha256: String
    /// SHA-256 of what lies outside `dataRanges`; empty for a file that is not HDF5.
    ///
    /// When this agrees, HDF5's own structure is whole, and damage can be looked for with it.
    public var structureSHA256: String
    /// Where an HDF5 file holds chunks of arrays.
    public var dataRanges: [ByteRange]
    /// Bytes of each array of an HDF5 file.
    public var arrays: [String: ArrayBytes]
}

extension FileEntry {
    /// A file that is not HDF5, of this content.
    init(plain path: String, _ content: [UInt8]) {
        self.init(
            path: path,
            bytes: content.count,
            sha256: Cache.sha256(of: content),
            structureSHA256: "",
            dataRanges: [],
            arrays: [:]
        )
    }
}

/// A finished shard.
public struct ShardEntry: Codable, Sendable, Equatable {
    /// Number of the shard, from 0.
    public var index: Int
    /// Examples in it.
    public var records: Int
    /// Supervised positions in it.
    public var rows: Int
    /// Tokens in it.
    public var tokens: Int
    /// Examples of each split.
    public var splits: [String: Int]
    /// The file.
    public var file: FileEntry

    /// Whether the numbers are within bounds and agree with each other.
    var countsAddUp: Bool {
        ([records, rows, tokens] + splits.values).allSatisfy(CacheManifest.counts.contains)
            && splits.values.reduce(0, +) == records
    }
}

/// What a finished cache consists of.
///
/// Its file is canonical: one content has one text.
public struct CacheManifest: Codable, Sendable, Equatable {
    /// SHA-256 of this manifest's text with this field empty.
    public var checksum: String
    /// What the cache was made from.
    public var description: CacheDescription
    /// What the extractor counted: written, skipped, cut, ….
    public var counts: [String: Int]
    /// The shards in order.
    public var shards: [ShardEntry]
    /// `teacher.h5`.
    public var teacher: FileEntry
    /// `README.md`, as it was written.
    public var readme: FileEntry

    /// Every file listed.
    public var files: [FileEntry] { shards.map(\.file) + [teacher, readme] }
    /// Examples of each split.
    public var splits: [String: Int] {
        shards.reduce(into: [:]) { $0.merge($1.splits, uniquingKeysWith: +) }
    }

    static let fileName = "manifest.json"

    /// The text with its checksum.
    func encoded() throws -> [UInt8] {
        var copy = self
        copy.checksum = ""
        copy.checksum = sha256(of: try canonicalJSON(copy))
        return try canonicalJSON(copy)
    }

    /// Reads and checks `manifest.json`.
    static func read(_ directory: URL) throws -> CacheManifest {
        let url = directory.appendingPathComponent(fileName)
        guard FileManager.default.fileExists(atPath: url.path) else {
            let journal = directory.appendingPathComponent(CacheJournal.fileName).path
            let hasJournal = FileManager.default.fileExists(atPath: journal)
            throw CacheError(
                .missing,
                path: url.path,
                hasJournal ? "the extraction into this cache is not finished" : "there is no cache",
                remedy: hasJournal
                    ? "Run the same extraction again (it goes on where it stopped), or, where that is "
                        + "offered, read what is finished."
                    : "Check the path, or run an extraction first."
            )
        }
        let bytes = try DurableFile.read(url)
        struct Version: Decodable {
            struct Inner: Decodable { var formatVersion: Int }
            var description: Inner
        }
        let decoder = JSONDecoder()
        if let version = try? decoder.decode(Version.self, from: Data(bytes)),
            version.description.formatVersion > CacheDescription.currentFormatVersion
        {
            throw CacheError(
                .unsupported,
                path: url.path,
                "format version \(version.description.formatVersion)",
                remedy: "Update retort."
            )
        }
        let manifest: CacheManifest
        do {
            manifest = try decoder.decode(CacheManifest.self, from: Data(bytes))
        } catch {
            throw CacheError.corrupt(url.path, "not a manifest: \(error)")
        }
        guard try manifest.encoded() == bytes else {
            throw CacheError.corrupt(url.path, "the text does not agree with its own checksum")
        }
        try manifest.check(path: url.path)
        return manifest
    }

    /// What is finished of a cache that is still being made; its `checksum` is of this content.
    ///
    /// - Throws: `CacheError.missing` when there is nothing that can be read yet.
    static func snapshot(_ directory: URL) throws -> CacheManifest {
        var journals = CacheJournals(directory: directory)
        try journals.update()
        func there(_ entries: [FileEntry]) -> FileEntry? {
            entries.last {
                let path = directory.appendingPathComponent($0.path).path
                let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
                guard descriptor >= 0 else { return false }
                defer { close(descriptor) }
                return (try? DurableFile.size(descriptor, path: path)) == $0.bytes
            }
        }
        let shards = journals.shards.keys.sorted().compactMap { index in
            let entries = journals.shards[index] ?? []
            return there(entries.map(\.file)).flatMap { file in entries.last { $0.file == file } }
        }
        guard let description = journals.description, let teacher = there(journals.teachers),
            !shards.isEmpty
        else {
            throw CacheError(
                .missing,
                path: directory.path,
                "the extraction into this cache has not finished a shard and \(CacheLayout.teacher)",
                remedy: "Wait for it, or run the same extraction again."
            )
        }
        var manifest = CacheManifest(
            checksum: "",
            description: description,
            counts: journals.counts ?? [:],
            shards: shards,
            teacher: teacher,
            readme: FileEntry(plain: CacheLayout.readme, [])
        )
        try manifest.checkFiles(path: directory.path)
        manifest.checksum = sha256(of: try canonicalJSON(manifest))
        return manifest
    }

    /// Names and numbers that must hold before any listed file is opened.
    private func check(path: String) throws {
        func refuse(_ what: String) -> CacheError { CacheError.corrupt(path, what) }
        for (i, shard) in shards.enumerated() {
            let name = CacheLayout.shardPath(i)
            guard shard.index == i, shard.file.path == name else {
                throw refuse("shard \(i) is listed as '\(shard.file.path)', not '\(name)'")
            }
            guard shard.countsAddUp
            else { throw refuse("shard \(i) counts do not add up") }
        }
        guard shards.count == description.shardPlan.count else {
            throw refuse("\(shards.count) shards, but a plan for \(description.shardPlan.count)")
        }
        try checkFiles(path: path)
    }

    /// The same for what a journal says as well.
    private func checkFiles(path: String) throws {
        func refuse(_ what: String) -> CacheError { CacheError.corrupt(path, what) }
        guard teacher.path == CacheLayout.teacher, readme.path == CacheLayout.readme else {
            throw refuse("'\(teacher.path)' or '\(readme.path)' is not a name of the format")
        }
        for file in files {
            let sizes = [file.bytes] + file.arrays.values.flatMap { [$0.raw, $0.stored] }
            guard sizes.allSatisfy(Self.counts.contains) else {
                throw refuse("the sizes of '\(file.path)' are out of bounds")
            }
            var end = 0
            for range in file.dataRanges {
                guard range.start >= end, range.end > range.start, range.end <= file.bytes else {
                    throw refuse("the data ranges of '\(file.path)' are out of order")
                }
                end = range.end
            }
        }
        for (name, value, bounds) in [
            ("hiddenSize", description.teacher.hiddenSize, 1...(1 << 20)),
            ("vocabularySize", description.teacher.vocabularySize, 1...(1 << 24)),
            ("maxPromptLength", description.maxPromptLength, 1...(1 << 24)),
            ("maxLength", description.maxLength, 1...(1 << 24)),
            ("topK", description.topK, 0...(1 << 16)),
        ] {
            guard bounds.contains(value) else {
                throw refuse(
                    "\(name) is \(value), not \(bounds.lowerBound) to \(bounds.upperBound)"
                )
            }
        }
        guard description.shardPlan.allSatisfy(Self.counts.contains) else {
            throw refuse("shardPlan is out of bounds")
        }
        if let fault = description.fault { throw refuse(fault) }
    }

    /// What a count of records, rows, tokens or bytes can be.
    ///
    /// Sums over all the shards that a manifest has room for stay far below 2^63.
    fileprivate static let counts = 0...(1 << 40)
}

/// Names inside a cache's directory.
///
/// They are made here and never taken from a file.
enum CacheLayout {
    static let teacher = "teacher.h5"
    static let readme = "README.md"
    static let shards = "shards"

    static func shardPath(_ index: Int) -> String {
        let digits = String(index)
        return shards + "/" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
            + ".h5"
    }
}

/// JSON with sorted keys: equal values give equal bytes.
func canonicalJSON(_ value: some Encodable, lines: Bool = true) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if lines { encoder.outputFormatting.insert(.prettyPrinted) }
    return [UInt8](try encoder.encode(value)) + [0x0A]
}
