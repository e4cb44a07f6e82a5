import Cache
import Foundation
import Models
import Tensors
import Tokenizers

extension Extraction {
    func append(
        _ part: ArraySlice<TokenizedExample>,
        _ hidden: Matrix,
        _ teacher: LayerwiseTeacher,
        to output: ShardWriter
    ) throws {
        let k = settings.topK
        let top = try TopLogProbabilities(hidden, k: k, head: teacher.head)
        var row = 0
        for example in part {
            let rows = row..<(row + example.supervised.count)
            row = rows.upperBound
            let entries = (rows.lowerBound * k)..<(rows.upperBound * k)
            try output.append(
                CacheRecord(
                    id: example.example.id,
                    split: example.example.split,
                    prompt: example.example.prompt,
                    response: example.example.response,
                    input: example.example.input,
                    tokenIDs: example.tokenIDs,
                    supervised: example.supervised,
                    hidden: hidden.slice(rows: rows).values,
                    topKIDs: Array(top.ids[entries]),
                    topKLogProbs: Array(top.logProbabilities[entries]),
                    logPartition: Array(top.logPartitions[rows])
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
