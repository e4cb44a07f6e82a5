import Cache
import Foundation
import Models
import Tensors
import Tokenizers

extension Extraction {
    /// Adds the examples of a block to a shard, with the states of their rows end to end.
    func append(
        _ part: ArraySlice<TokenizedExample>,
        _ states: TeacherStates,
        _ teacher: LayerwiseTeacher,
        to output: ShardWriter
    ) throws {
        let k = settings.storedTopK
        let positions = part.map { $0.rows(settings.positions) }
        let logits = try LogitSignals(
            states.final,
            k: k,
            signals: settings.signals,
            keys: zip(part, positions).flatMap { example, positions in
                positions.map { LogitSignals.RowKey(id: example.example.id, position: $0) }
            },
            head: teacher.head,
            full: output.appendFullLogits
        )
        var row = 0
        for (example, positions) in zip(part, positions) {
            let rows = row..<(row + positions.count)
            row = rows.upperBound
            let entries = (rows.lowerBound * k)..<(rows.upperBound * k)
            let hasLogits = !logits.logPartitions.isEmpty
            try output.append(
                CacheRecord(
                    id: example.example.id,
                    split: example.example.split,
                    prompt: example.example.prompt,
                    response: example.example.response,
                    input: example.example.input,
                    tokenIDs: example.tokenIDs,
                    supervised: example.supervised,
                    positions: positions,
                    hidden: states.final.slice(rows: rows).values,
                    layers: states.layers.mapValues { $0.slice(rows: rows).values },
                    topKIDs: Array(logits.ids[entries]),
                    topKLogProbs: Array(logits.logProbabilities[entries]),
                    logPartition: hasLogits ? Array(logits.logPartitions[rows]) : [],
                    samples: settings.signals.samples > 0
                        ? logits.samples.slice(rows: rows) : SampledTokens()
                )
            )
        }
    }

    /// The head, the embedding rows of every input and label token, and the tokenizer's files.
    func tables(_ teacher: LayerwiseTeacher) throws -> TeacherTables {
        let ids = labelledTokens
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-tokenizer-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        try tokenizer.write(to: folder)
        var files: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            files[name] = try Data(contentsOf: folder.appendingPathComponent(name))
        }
        return TeacherTables(
            head: { rows, target in
                guard let start = target.baseAddress else { return }
                try teacher.head.table.read(rows: rows, into: start)
            },
            embeddingIDs: ids,
            embedding: { rows, target in
                guard let start = target.baseAddress else { return }
                let values = try teacher.embeddingRows(Array(ids[rows]))
                start.update(from: values.base, count: values.count)
            },
            tokenizerFiles: files
        )
    }

    /// Every input and label token of a supervised position, sorted, none twice.
    var labelledTokens: [UInt32] {
        var occurring: Set<UInt32> = []
        for example in examples {
            // A position's label is the token after it.
            let used = example.supervised.lowerBound...example.supervised.upperBound
            occurring.formUnion(example.tokenIDs[used])
        }
        return occurring.sorted()
    }
}
