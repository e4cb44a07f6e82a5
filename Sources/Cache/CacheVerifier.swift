import Foundation

/// Damage found in a cache.
public struct CacheProblem: Codable, Sendable, Equatable, CustomStringConvertible {
    /// Path below the cache's directory.
    public var file: String
    /// The array concerned, when the damage could be placed.
    public var dataset: String?
    /// The chunk of that array.
    public var chunk: Int?
    /// What is wrong.
    public var problem: String

    /// `file, dataset, chunk: problem` on one line.
    public var description: String {
        var place = file
        if let dataset { place += ", \(dataset)" }
        if let chunk { place += ", chunk \(chunk)" }
        return "\(place): \(problem)"
    }
}

/// What `CacheVerifier` looked at and found.
public struct CacheVerification: Codable, Sendable, Equatable {
    /// Damage; empty for a whole cache.
    public var problems: [CacheProblem]
    /// Files that were read in full.
    public var filesChecked: Int
    /// Their bytes.
    public var bytesChecked: Int
    /// True when no damage was found.
    public var isWhole: Bool { problems.isEmpty }
}

/// Reads a whole cache and compares every byte with what the manifest says.
public struct CacheVerifier: Sendable {
    /// A verifier.
    public init() {}

    /// Checks manifest, journal and every file; damage in a shard is placed by array and chunk.
    ///
    /// A damaged file is opened with HDF5 only when its structure is whole by its own SHA-256:
    /// HDF5 1.10 can crash on damaged structure.
    /// - Throws: `CacheError.missing` when there is no cache, `io` when a file cannot be read; damage is in
    ///   the result.
    public func verify(_ directory: URL) throws -> CacheVerification {
        var result = CacheVerification(problems: [], filesChecked: 0, bytesChecked: 0)
        let manifest: CacheManifest
        do {
            manifest = try CacheManifest.read(directory)
        } catch let error as CacheError where error.kind == .corrupt {
            result.problems.append(
                CacheProblem(file: CacheManifest.fileName, problem: error.message)
            )
            return result
        }
        for entry in manifest.files {
            do {
                result.problems += try problems(of: entry, in: directory)
            } catch let error as CacheError where [.corrupt, .missing].contains(error.kind) {
                // Anything else (no permission, a failing disk, a link) says nothing of the content.
                result.problems.append(CacheProblem(file: entry.path, problem: error.message))
            }
            result.filesChecked += 1
            result.bytesChecked += entry.bytes
        }
        result.problems += journalProblems(directory, manifest: manifest)
        return result
    }

    private func problems(of entry: FileEntry, in directory: URL) throws -> [CacheProblem] {
        let file = try VerifiedFile(directory.appendingPathComponent(entry.path), entry: nil)
        let size = try DurableFile.size(file.descriptor, path: file.path)
        guard size == entry.bytes else {
            return [CacheProblem(file: entry.path, problem: "\(size) bytes, not \(entry.bytes)")]
        }
        let hash = try sha256(descriptor: file.descriptor, path: file.path)
        guard hash != entry.sha256 else { return [] }
        guard !entry.structureSHA256.isEmpty else {
            return [CacheProblem(file: entry.path, problem: "changed since it was written")]
        }
        let structure = try sha256(
            descriptor: file.descriptor,
            path: file.path,
            skipping: entry.dataRanges
        )
        guard structure == entry.structureSHA256 else {
            return [CacheProblem(file: entry.path, problem: "HDF5's own structure is damaged")]
        }
        let listing = try file.list(limit: Int.max)
        var found: [CacheProblem] = []
        for array in listing.arrays.values.sorted(by: { $0.name < $1.name }) {
            let reader = ArrayReader(
                layout: array,
                descriptor: file.descriptor,
                path: file.path
            )
            for chunk in array.chunks.indices {
                do {
                    try reader.check(chunk: chunk)
                } catch let error as CacheError where error.kind == .corrupt {
                    let first = chunk / array.chunksAcross * array.chunkRows
                    let rows = first..<min(array.rows, first + array.chunkRows)
                    found.append(
                        CacheProblem(
                            file: entry.path,
                            dataset: array.name,
                            chunk: chunk,
                            problem: "damaged (rows \(rows.lowerBound) to \(rows.upperBound - 1))"
                        )
                    )
                }
            }
        }
        // The hash differs, so something must be named even if every chunk agrees.
        return found.isEmpty
            ? [CacheProblem(file: entry.path, problem: "the SHA-256 is not the manifest's")] : found
    }

    /// Journals may be absent (they are not needed to read); those that are there must agree.
    private func journalProblems(_ directory: URL, manifest: CacheManifest) -> [CacheProblem] {
        var problems: [CacheProblem] = []
        var lines: [(journal: String, line: CacheJournal.Line)] = []
        for name in CacheJournals.names(in: directory) {
            do {
                lines += try self.lines(directory.appendingPathComponent(name)).map { (name, $0) }
            } catch {
                let words = (error as? CacheError)?.message ?? "\(error)"
                problems.append(CacheProblem(file: name, problem: words))
            }
        }
        // Two workers that made the same shard may have made other bytes; one of them is listed.
        let listed = Set(
            lines.compactMap(\.line.shard).filter(manifest.shards.contains).map(\.index)
        )
        for (name, line) in lines where !problems.contains(where: { $0.file == name }) {
            let agrees =
                if let description = line.description {
                    description == manifest.description
                } else if let counts = line.counts {
                    counts == manifest.counts
                } else if let teacher = line.teacher {
                    teacher == manifest.teacher
                } else {
                    line.shard.map {
                        manifest.shards.contains($0) || listed.contains($0.index)
                    } ?? false
                }
            if !agrees {
                problems.append(
                    CacheProblem(file: name, problem: "does not agree with the manifest")
                )
            }
        }
        return problems
    }

    private func lines(_ url: URL) throws -> [CacheJournal.Line] {
        var bytes = try DurableFile.read(url)
        // A worker that was killed leaves half a line; nobody goes on with its journal.
        let isWorkers = url.lastPathComponent != CacheJournal.fileName
        if isWorkers { bytes.removeSubrange(((bytes.lastIndex(of: 0x0A) ?? -1) + 1)...) }
        let lines = try CacheJournal.parse(bytes, path: url.path)
        guard bytes.last == 0x0A || bytes.isEmpty && isWorkers else {
            throw CacheError.corrupt(url.path, "does not agree with the manifest")
        }
        return lines
    }
}
