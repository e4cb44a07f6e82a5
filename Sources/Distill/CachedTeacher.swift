import Cache
import Foundation
import Tensors

/// What a cache keeps of its teacher, in memory: no weight file of the teacher is ever opened.
public struct CachedTeacher {
    /// W_t, with the teacher's logit scale folded in, and the cap of its logits.
    public let head: HeadProduct
    /// E_t, the rows that occur; empty where no criterion needs them.
    public let embedding: EmbeddingRows
    /// D.
    public let hiddenSize: Int

    private init(head: HeadProduct, embedding: EmbeddingRows, hiddenSize: Int) {
        self.head = head
        self.embedding = embedding
        self.hiddenSize = hiddenSize
    }

    /// A teacher of which nothing is known but D.
    init(nothingOf hiddenSize: Int) {
        self.init(
            head: HeadProduct(frozen: Matrix(zeros: 0, hiddenSize), softCap: nil, compute: .f32),
            embedding: EmbeddingRows(ids: [], rows: Matrix(zeros: 0, hiddenSize)),
            hiddenSize: hiddenSize
        )
    }

    /// Reads what is needed; the rest is empty.
    public init(
        _ reader: CacheReader,
        compute: ComputeType,
        needsHead: Bool = true,
        needsEmbedding: Bool = true
    ) throws {
        let teacher = reader.manifest.description.teacher
        guard needsHead else {
            self = CachedTeacher(nothingOf: teacher.hiddenSize)
            return
        }
        let (values, rows, columns) = try reader.teacherHead()
        let weight = Matrix(values, rows: rows, columns: columns)
        let scale = try reader.logitScale()
        if scale != 1 {
            for i in 0..<weight.count { weight.base[i] *= scale }
        }
        var occurring = EmbeddingRows(ids: [], rows: Matrix(zeros: 0, columns))
        if needsEmbedding {
            let (ids, numbers) = try reader.teacherEmbedding()
            let rows = Matrix(numbers, rows: ids.count, columns: columns)
            occurring = EmbeddingRows(ids: ids, rows: rows)
        }
        self = CachedTeacher(
            head: HeadProduct(frozen: weight, softCap: teacher.logitSoftCap, compute: compute),
            embedding: occurring,
            hiddenSize: teacher.hiddenSize
        )
    }
}

extension CacheReader {
    /// The number of a split's examples.
    ///
    /// - Throws: `DistillError.noExamples` where there are none.
    @discardableResult
    public func requireExamples(split: String) throws -> Int {
        let count = recordCount(split: split)
        guard count > 0 else {
            throw DistillError.noExamples(
                split: split,
                remedy: "the cache \(directory.path) has \(manifest.splits.keys.sorted())"
            )
        }
        return count
    }
}
