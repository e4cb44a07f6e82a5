import Foundation

/// What a student needs of the teacher besides the hidden states.
public struct TeacherTables {
    /// Writes some rows of a table as f32, row-major, to a buffer with room for exactly them.
    public typealias Rows = (Range<Int>, UnsafeMutableBufferPointer<Float>) throws -> Void

    /// (V, D): logits are `head` times the hidden state, times `logitScale`.
    public var head: Rows
    /// Ids whose embedding rows are kept, sorted, none twice.
    public var embeddingIDs: [UInt32]
    /// (n, D): rows of those ids.
    public var embedding: Rows
    /// The tokenizer's files by name.
    public var tokenizerFiles: [String: Data]
    /// Factor of every logit.
    public var logitScale: Float

    /// Tables of which rows are asked for, in order, while they are written; neither is ever in memory
    /// as a whole.
    public init(
        head: @escaping Rows,
        embeddingIDs: [UInt32],
        embedding: @escaping Rows,
        tokenizerFiles: [String: Data],
        logitScale: Float = 1
    ) {
        self.head = head
        self.embeddingIDs = embeddingIDs
        self.embedding = embedding
        self.tokenizerFiles = tokenizerFiles
        self.logitScale = logitScale
    }

    /// Rows of a table in memory, (n, `width`) row-major.
    public static func rows(of values: [Float], width: Int) -> Rows {
        { range, target in
            guard range.upperBound * width <= values.count else {
                throw CacheError(
                    .mismatch,
                    path: CacheLayout.teacher,
                    "a table of \(values.count) values has no rows \(range) of \(width)",
                    remedy: "This is a fault of the extractor."
                )
            }
            for (index, value) in values[(range.lowerBound * width)..<(range.upperBound * width)]
                .enumerated()
            {
                target[index] = value
            }
        }
    }
}

/// Names and header of `teacher.h5`.
enum TeacherFormat {
    static let head = "head"
    static let embeddingIDs = "embedding/ids"
    static let embeddingRows = "embedding/rows"
    static let tokenizerBytes = "tokenizer/bytes"
    static let tokenizerOffsets = "tokenizer/offsets"

    static let names = [head, embeddingIDs, embeddingRows, tokenizerBytes, tokenizerOffsets]

    struct Header: Codable, Equatable {
        var format: Int
        var kind: String
        var logitScale: Float
        /// What the stored hidden states are: after the final norm, ready for the head.
        var hidden: String
        /// Names of the tokenizer's files, in the order of `tokenizer/offsets`.
        var tokenizerFiles: [String]
    }

    /// A file name that cannot leave the directory it is written to.
    static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 128 && !name.hasPrefix(".")
            && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2F && $0 != 0x5C }
    }

    static func arrays(_ tables: TeacherTables, _ description: CacheDescription, path: String)
        throws -> ([StoredArray], header: String)
    {
        func refuse(_ what: String) -> CacheError {
            CacheError(.mismatch, path: path, what, remedy: "This is a fault of the extractor.")
        }
        let width = description.teacher.hiddenSize
        let vocabulary = description.teacher.vocabularySize
        let ids = tables.embeddingIDs
        guard zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 }),
            ids.last.map({ $0 < UInt32(clamping: vocabulary) }) ?? true
        else { throw refuse("embedding ids are not sorted, or beyond the vocabulary") }
        let names = tables.tokenizerFiles.keys.sorted()
        guard names.allSatisfy(isPlain) else { throw refuse("a tokenizer file's name is odd") }
        func table(_ name: String, _ count: Int, _ rows: @escaping TeacherTables.Rows) throws
            -> StoredArray
        {
            let table = TeacherTable(rows: rows, count: count, width: width)
            // Older versions have f32 alone.
            let type = description.formatVersion < 3 ? .f32 : try table.smallestExactType()
            return try .streamed(
                name,
                type,
                columns: width,
                rows: count,
                candidates: description.codecs(type)
            ) { try table.write($0, as: type, to: $1) }
        }
        func builder(_ name: String, _ type: ElementType) -> ArrayBuilder {
            ArrayBuilder(name, type, candidates: description.codecs(type))
        }
        var idArray = builder(embeddingIDs, .u32)
        idArray.append(ids)
        var bytes = builder(tokenizerBytes, .u8)
        var offsets = builder(tokenizerOffsets, .u64)
        var end = 0
        offsets.append([UInt64(0)])
        for name in names {
            let content = [UInt8](tables.tokenizerFiles[name] ?? Data())
            bytes.append(content)
            end += content.count
            offsets.append([UInt64(end)])
        }
        let header = Header(
            format: description.formatVersion,
            kind: "teacher",
            logitScale: tables.logitScale,
            hidden: "after_final_norm",
            tokenizerFiles: names
        )
        let text = String(decoding: try canonicalJSON(header, lines: false), as: UTF8.self)
        return (
            [
                try table(Self.head, vocabulary, tables.head), idArray.finish(),
                try table(embeddingRows, ids.count, tables.embedding), bytes.finish(),
                offsets.finish(),
            ], text
        )
    }
}
