import Cache
import Foundation
import Models
import Tensors
import Tokenizers

extension Extraction {
    /// What a run would do, with time and compressed bytes from a short trial on this machine.
    ///
    /// One real group of examples goes through as many layers as `limit` allows, through the head and
    /// into a small cache in the temporary directory, which is removed again.
    /// - Parameter limit: Seconds that the layers of the trial may take, about.
    /// - Throws: `ExtractError` when the memory does not suffice, and what a run throws.
    public func trialForecast(limit: Double = 4) throws -> Forecast {
        var forecast = try forecast()
        try forecast.memory.check()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-trial-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let begin = Stopwatch()
        let teacher = try LayerwiseTeacher(
            checkpoint,
            compute: settings.compute,
            memory: forecast.memory,
            scratch: folder.path,
            signals: settings.signals
        )
        let opening = begin.seconds
        let group = typicalGroup()
        let layers = try runLayers(teacher, group, limit: limit)
        let shard = try writeShard(teacher, group, layers.states, folder)
        let tables = try writeTables(teacher, folder)
        forecast.trial = Trial(
            seconds: try seconds(opening, layers, shard, tables),
            bytes: shard.bytes.adding(tables.bytes),
            tokens: plan.tokens(group),
            layers: layers.count
        )
        return forecast
    }

    /// Time of a run: what is once, once a block, once a token, once a row.
    private func seconds(
        _ opening: Double,
        _ layers: LayerTrial,
        _ shard: ShardTrial,
        _ tables: TableTrial
    ) throws -> Double {
        let missing = plan.shards.indices.filter { !shardExists($0) }
        let blocks = missing.reduce(0) { $0 + plan.blocks(ofShard: $1).count }
        let tokens = missing.reduce(0) { $0 + plan.tokens(plan.shards[$1]) }
        let rows = missing.reduce(0) {
            $0 + examples[plan.shards[$1]].rowCount(settings.positions)
        }
        let depth = Double(checkpoint.configuration.layerCount)
        return opening + tables.seconds + (try fingerprintSeconds())
            + depth * (Double(blocks) * layers.loading + Double(tokens) * layers.perToken)
            + Double(rows) * shard.perRow
    }

    /// The group whose attention costs most nearly the average.
    private func typicalGroup() -> Range<Int> {
        func cost(_ range: Range<Int>) -> Double {
            let squares = examples[range].reduce(0.0) {
                $0 + Double($1.tokenIDs.count * $1.tokenIDs.count)
            }
            return squares / Double(max(1, plan.tokens(range)))
        }
        let average = cost(examples.indices)
        let groups = plan.shards.flatMap { ExtractionPlan.groups(of: $0, examples) }
        // A full group: the last one of a shard may be a few tokens, whose products are slower.
        let most = groups.map(plan.tokens).max() ?? 0
        let full = groups.filter { 4 * plan.tokens($0) >= 3 * most }
        return full.min { abs(cost($0) - average) < abs(cost($1) - average) } ?? plan.shards[0]
    }

    private struct LayerTrial {
        /// Layers that were run.
        var count = 0
        /// Seconds to load one, and for each token to pass through one.
        var loading = 0.0, perToken = 0.0
        /// What came out behind the last of them, (tokens, D).
        let states: Matrix
    }

    private func runLayers(
        _ teacher: LayerwiseTeacher,
        _ group: Range<Int>,
        limit: Double
    ) throws -> LayerTrial {
        let batch = VarlenBatch(examples[group].map(\.tokenIDs))
        var trial = LayerTrial(states: try teacher.embed(batch))
        // The first product starts threads and makes code; that is no part of what follows.
        try teacher.loadLayer(0).forward(
            trial.states.copied(),
            BlockContext(batch)
        )
        // As many groups at a time as a run has, for they share what memory gives.
        let copies = (1..<max(1, teacher.streams)).map { _ in trial.states.copied() }
        let start = Stopwatch()
        while trial.count < checkpoint.configuration.layerCount {
            let loading = Stopwatch()
            let block = try teacher.loadLayer(trial.count)
            trial.loading += loading.seconds
            let running = Stopwatch()
            teacher.forward(block, [trial.states] + copies, batch)
            trial.perToken += running.seconds / Double(1 + copies.count)
            trial.count += 1
            if start.seconds > limit { break }
        }
        trial.loading /= Double(trial.count)
        trial.perToken /= Double(trial.count * max(1, batch.tokenCount))
        return trial
    }

    private struct ShardTrial {
        /// Seconds for a row's head, packing and writing.
        let perRow: Double
        /// Of all shards on the disk.
        let bytes: PartBytes
    }

    /// Stores the group as a shard of its own.
    private func writeShard(
        _ teacher: LayerwiseTeacher,
        _ group: Range<Int>,
        _ states: Matrix,
        _ folder: URL
    ) throws -> ShardTrial {
        let writer = try CacheWriter(
            directory: folder.appendingPathComponent("shard"),
            description: trialDescription(
                vocabularySize: checkpoint.configuration.vocabularySize,
                shardPlan: [group.count]
            ),
            plannedShards: 1
        )
        let start = Stopwatch()
        let output = try writer.beginShard(0, expectedRecords: group.count)
        let hidden = teacher.finalStates(states, examples[group])
        // Other layers' rows are as many and pack about as well.
        let layers = settings.hiddenLayers.map { ($0, hidden) }
        let stored = TeacherStates(
            final: hidden,
            layers: Dictionary(uniqueKeysWithValues: layers)
        )
        try append(examples[group], stored, teacher, to: output)
        let entry = try output.finish()
        let rows = Double(max(1, hidden.rows))
        let perRow = start.seconds / rows
        let byRows = Double(examples.rowCount(settings.positions)) / rows
        let byText =
            Double(examples.reduce(0) { $0 + $1.storedTextBytes })
            / Double(max(1, examples[group].reduce(0) { $0 + $1.storedTextBytes }))
        var bytes = PartBytes()
        for (name, array) in entry.file.arrays {
            let stored = Double(array.stored)
            if name.hasPrefix("hidden/") {
                bytes.hidden += Int(stored * byRows)
            } else if name.hasPrefix("logits/") {
                bytes.logits += Int(stored * byRows)
            } else {
                bytes.text += Int(stored * byText)
            }
        }
        return ShardTrial(perRow: perRow, bytes: bytes)
    }

    private struct TableTrial {
        let seconds: Double
        let bytes: PartBytes
    }

    /// Stores some rows of the head and as many of the embedding.
    private func writeTables(_ teacher: LayerwiseTeacher, _ folder: URL) throws -> TableTrial {
        let directory = folder.appendingPathComponent("tables")
        let whole = try tables(teacher)
        let vocabulary = checkpoint.configuration.vocabularySize
        let count = min(vocabulary, max(64, (16 << 20) / (4 * checkpoint.configuration.hiddenSize)))
        let first = (vocabulary - count) / 2
        let ids = whole.embeddingIDs.count
        let some = min(count, ids)
        let writer = try CacheWriter(
            directory: directory,
            description: trialDescription(vocabularySize: count, shardPlan: []),
            plannedShards: 0
        )
        let start = Stopwatch()
        try writer.writeTeacher(
            TeacherTables(
                head: { rows, target in
                    try whole.head((rows.lowerBound + first)..<(rows.upperBound + first), target)
                },
                embeddingIDs: (0..<UInt32(some)).map { $0 },
                embedding: whole.embedding,
                tokenizerFiles: [:]
            )
        )
        let seconds = start.seconds
        try writer.finish(counts: [:])
        let made = try CacheReader(directory: directory).manifest.teacher.arrays
        func scaled(_ name: String, _ part: Int, _ all: Int) -> Int {
            Int(Double(made[name]?.stored ?? 0) * Double(all) / Double(max(1, part)))
        }
        var bytes = PartBytes()
        bytes.head = scaled("head", count, vocabulary)
        bytes.embedding = scaled("embedding/rows", some, ids) + scaled("embedding/ids", some, ids)
        return TableTrial(
            seconds: seconds * Double(vocabulary + ids) / Double(count + some),
            bytes: bytes
        )
    }

    /// The weights are not hashed for it.
    private func trialDescription(vocabularySize: Int, shardPlan: [Int]) -> CacheDescription {
        description(
            weightsSHA256: String(repeating: "0", count: 64),
            vocabularySize: vocabularySize,
            shardPlan: shardPlan
        )
    }

    /// How long the hash of the weights takes, from that of a small part of as many bytes.
    private func fingerprintSeconds() throws -> Double {
        let sample = Data(count: 16 << 20)
        let start = Stopwatch()
        _ = sha256(of: sample)
        return start.seconds * Double(weightBytes) / Double(sample.count)
    }

    private var weightBytes: Int {
        checkpoint.files.reduce(0) {
            // Model hubs keep files as links into a store.
            let size = try? $1.resolvingSymlinksInPath().resourceValues(forKeys: [.fileSizeKey])
            return $0 + (size?.fileSize ?? 0)
        }
    }
}

extension Extraction.PartBytes {
    fileprivate func adding(_ other: Extraction.PartBytes) -> Extraction.PartBytes {
        var sum = self
        sum.hidden += other.hidden
        sum.logits += other.logits
        sum.text += other.text
        sum.head += other.head
        sum.embedding += other.embedding
        return sum
    }
}

/// Seconds since it was made.
private struct Stopwatch {
    private let start = DispatchTime.now().uptimeNanoseconds

    var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 }
}
