import Foundation

/// Makes a damaged cache one that an extraction or a merge can complete, or saves what can be read of it.
public struct CacheRepair {
    /// What was done.
    public struct Outcome: Codable, Sendable, Equatable {
        /// The damage that was found.
        public var problems: [CacheProblem]
        /// Files that were damaged or not there, and are not there now: to be made, or brought, again.
        public var removed: [String]
        /// Files that were written anew.
        public var rewritten: [String]
        /// True when the cache is whole now.
        public var isWhole: Bool { removed.isEmpty }
    }

    private let directory: URL

    /// Of the cache in `directory`.
    public init(_ directory: URL) { self.directory = directory }

    /// Removes damaged shards and tables, keeps the others, and leaves a cache in the making that lacks
    /// the removed ones; README.md, the manifest and the journals are written anew where they are damaged.
    ///
    /// - Throws: `CacheError`: `corrupt` when neither the manifest nor the journal says what the cache is.
    public func repair() throws -> Outcome {
        let problems = try CacheVerifier().verify(directory).problems
        var outcome = Outcome(problems: problems, removed: [], rewritten: [])
        guard !problems.isEmpty else { return outcome }
        let damaged = Set(problems.map(\.file))
        let manifest = try known(damaged)
        let manager = FileManager.default
        // Journals that do not agree with the manifest would stand in the way of the next writer.
        let journals = CacheJournals.names(in: directory)
        if !damaged.isDisjoint(with: journals) || !journals.contains(CacheJournal.fileName) {
            for name in journals {
                try manager.removeItem(at: directory.appendingPathComponent(name))
            }
            outcome.rewritten += damaged.intersection(journals).sorted()
        }
        let lost = manifest.files.filter {
            damaged.contains($0.path) && $0.path != CacheLayout.readme
        }
        for file in lost {
            let url = directory.appendingPathComponent(file.path)
            // Damage can be that it is not there.
            if manager.fileExists(atPath: url.path) { try manager.removeItem(at: url) }
        }
        try DurableFile.flush(directory: directory)
        let writer = try CacheWriter(
            directory: directory,
            description: manifest.description,
            plannedShards: manifest.description.shardPlan.count
        )
        try writer.note(counts: manifest.counts)
        if !writer.hasTeacher, !damaged.contains(manifest.teacher.path) {
            try writer.enter(teacher: manifest.teacher)
        }
        for shard in manifest.shards
        where !damaged.contains(shard.file.path) && !writer.completedShards.contains(shard.index) {
            try writer.enter(shard)
        }
        let missing = writer.missing
        let names = missing.shards.map(CacheLayout.shardPath)
        outcome.removed = names + (missing.teacher ? [CacheLayout.teacher] : [])
        if outcome.removed.isEmpty {
            try writer.finish(counts: manifest.counts)
            outcome.rewritten += [CacheManifest.fileName, CacheLayout.readme].filter(
                damaged.contains
            )
        } else {
            // Last: a kill before this leaves a manifest, or a journal, that says what the cache is.
            let url = directory.appendingPathComponent(CacheManifest.fileName)
            if manager.fileExists(atPath: url.path) { try manager.removeItem(at: url) }
            try DurableFile.flush(directory: directory)
        }
        return outcome
    }

    /// What the cache is by its manifest, or where that is damaged by its journals.
    private func known(_ damaged: Set<String>) throws -> CacheManifest {
        damaged.contains(CacheManifest.fileName)
            ? try .snapshot(directory) : try .read(directory)
    }

    /// Records of a damaged cache that can be read in full.
    ///
    /// - Parameter progress: Called after each shard with the number done, of all.
    /// - Returns: Their places, and how many cannot be read.
    /// - Throws: `CacheError` when `teacher.h5` is damaged: nothing of use is left without it.
    public func readable(
        _ reader: CacheReader,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws -> (places: [CacheRewriter.Place], lost: Int) {
        _ = try reader.tables()
        let signals = reader.manifest.description.signals
        let extra = ExtraSignals(
            hiddenLayers: signals.hiddenLayers,
            samples: signals.samples > 0,
            fullLogits: signals.fullLogits != nil,
            allPositions: signals.positions == .all
        )
        var places: [CacheRewriter.Place] = []
        var lost = 0
        for (index, entry) in reader.manifest.shards.enumerated() {
            if let shard = try? reader.shard(index) {
                for record in 0..<shard.recordCount {
                    do {
                        _ = try shard.record(record, extra: extra)
                        places.append(.init(shard: index, record: record))
                    } catch is CacheError {
                        lost += 1
                    }
                }
            } else {
                lost += entry.records
            }
            progress(index + 1, reader.shardCount)
        }
        return (places, lost)
    }
}
