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
        let top = TopLogProbabilities(hidden, k: k, head: teacher.head)
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
        var occurring: Set<UInt32> = []
        for example in examples {
            // A position's label is the token after it.
            let used = example.supervised.lowerBound...example.supervised.upperBound
            occurring.formUnion(example.tokenIDs[used])
        }
        let ids = occurring.sorted()
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
            head: teacher.head.weight.value.values,
            embeddingIDs: ids,
            embedding: teacher.embeddingRows(ids).values,
            tokenizerFiles: files
        )
    }
}
