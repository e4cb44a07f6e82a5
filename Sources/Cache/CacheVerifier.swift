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
    /// - Throws: `CacheError.missing` when there is no cache; damage is in the result.
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
            } catch let error as CacheError {
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
        CacheJournals.names(in: directory).compactMap { name in
            journalProblem(directory.appendingPathComponent(name), manifest: manifest).map {
                CacheProblem(file: name, problem: $0)
            }
        }
    }

    private func journalProblem(_ url: URL, manifest: CacheManifest) -> String? {
        do {
            var bytes = try DurableFile.read(url)
            // A worker that was killed leaves half a line; nobody goes on with its journal.
            let isWorkers = url.lastPathComponent != CacheJournal.fileName
            if isWorkers { bytes.removeSubrange(((bytes.lastIndex(of: 0x0A) ?? -1) + 1)...) }
            let isKnown = try CacheJournal.parse(bytes, path: url.path).allSatisfy { line in
                if let description = line.description { return description == manifest.description }
                if let counts = line.counts { return counts == manifest.counts }
                if let teacher = line.teacher { return teacher == manifest.teacher }
                return line.shard.map { manifest.shards.contains($0) } ?? false
            }
            return bytes.last == 0x0A && isKnown || bytes.isEmpty && isWorkers
                ? nil : "does not agree with the manifest"
        } catch {
            return (error as? CacheError)?.message ?? "\(error)"
        }
    }
}
