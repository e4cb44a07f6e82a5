import Foundation

/// What a student needs of the teacher besides the hidden states.
public struct TeacherTables: Sendable, Equatable {
    /// (V, D) row-major f32: logits are `head` times the hidden state, times `logitScale`.
    public var head: [Float]
    /// Ids whose embedding rows are kept, sorted, none twice.
    public var embeddingIDs: [UInt32]
    /// (n, D) row-major f32 rows of those ids.
    public var embedding: [Float]
    /// The tokenizer's files by name.
    public var tokenizerFiles: [String: Data]
    /// Factor of every logit.
    public var logitScale: Float

    /// Tables of these parts; shapes are checked when they are written.
    public init(
        head: [Float],
        embeddingIDs: [UInt32],
        embedding: [Float],
        tokenizerFiles: [String: Data],
        logitScale: Float = 1
    ) {
        self.head = head
        self.embeddingIDs = embeddingIDs
        self.embedding = embedding
        self.tokenizerFiles = tokenizerFiles
        self.logitScale = logitScale
    }
}

/// Names and header of `teacher.h5`.
enum TeacherFormat {
    static let head = "head"
    static let embeddingIDs = "embedding/ids"
    static let embeddingRows = "embedding/rows"
    static let tokenizerBytes = "tokenizer/bytes"
    static let tokenizerOffsets = "tokenizer/offsets"

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
        guard tables.head.count == vocabulary * width else {
            throw refuse("the head has \(tables.head.count) values, not \(vocabulary) x \(width)")
        }
        let ids = tables.embeddingIDs
        guard tables.embedding.count == ids.count * width,
            zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 }),
            ids.last.map({ $0 < UInt32(clamping: vocabulary) }) ?? true
        else { throw refuse("embedding ids are not sorted, or not one for each row") }
        let names = tables.tokenizerFiles.keys.sorted()
        guard names.allSatisfy(isPlain) else { throw refuse("a tokenizer file's name is odd") }
        var head = ArrayBuilder(Self.head, .f32, columns: width, expectedRows: vocabulary)
        head.append(tables.head)
        var idArray = ArrayBuilder(embeddingIDs, .u32)
        idArray.append(ids)
        var rows = ArrayBuilder(embeddingRows, .f32, columns: width, expectedRows: ids.count)
        rows.append(tables.embedding)
        var bytes = ArrayBuilder(tokenizerBytes, .u8)
        var offsets = ArrayBuilder(tokenizerOffsets, .u64)
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
            [head.finish(), idArray.finish(), rows.finish(), bytes.finish(), offsets.finish()], text
        )
    }
}
