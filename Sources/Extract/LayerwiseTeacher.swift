import Foundation
import Models
import Tensors

/// A teacher that is in memory one layer at a time.
///
/// A block of tokens goes through a layer as a whole before the next layer is loaded, so a teacher
/// larger than memory costs its weights once a block, not once a batch.
final class LayerwiseTeacher {
    /// Sequences of a block are pushed through a layer in groups of about this many tokens, so that
    /// activations stay small however large the block.
    private static let groupTokens = 2_048

    let checkpoint: Checkpoint
    let compute: ComputeType
    private let architecture: any Architecture
    private let embedding: Parameter
    private let positions: Parameter?
    private let finalNorm: FinalNorm
    /// What makes logits of hidden states.
    let head: TeacherHead

    init(_ checkpoint: Checkpoint, compute: ComputeType) throws {
        self.checkpoint = checkpoint
        self.compute = compute
        architecture = checkpoint.architecture
        embedding = try architecture.tokenEmbedding(from: checkpoint)
        positions = try architecture.positionEmbedding(from: checkpoint)
        finalNorm = try architecture.finalNorm(from: checkpoint)
        head = TeacherHead(
            checkpoint.configuration.tiesEmbeddings
                ? embedding : try architecture.head(from: checkpoint),
            compute: compute
        )
    }

    /// The embedding rows of the given tokens, (n, D).
    func embeddingRows(_ tokens: [UInt32]) -> Matrix {
        let rows = Matrix(uninitialized: tokens.count, embedding.value.columns)
        for (index, token) in tokens.enumerated() {
            rows.row(index).update(from: embedding.value.row(Int(token)), count: rows.columns)
        }
        return rows
    }

    /// Final hidden states of the given rows of each sequence, end to end.
    ///
    /// - Parameters:
    ///   - sequences: Token ids, each below the vocabulary's size.
    ///   - rows: For each sequence, the positions wanted.
    ///   - layerDone: Called after each layer; throws to stop.
    /// - Returns: (rows, D) float32, after the final norm.
    func hiddenStates(
        _ sequences: [[UInt32]],
        rows: [Range<Int>],
        layerDone: (Int) throws -> Void
    ) throws -> Matrix {
        let batch = VarlenBatch(sequences)
        let scale = checkpoint.configuration.embeddingScale
        let x = embed(batch, embedding, positions, scale: scale)
        let groups = Self.groups(sequences)
        for layer in 0..<checkpoint.configuration.layerCount {
            let block = try architecture.block(layer, from: checkpoint)
            block.pack(compute)
            for group in groups {
                let part = VarlenBatch(Array(sequences[group]))
                let range = batch.offsets[group.lowerBound]..<batch.offsets[group.upperBound]
                block.forward(x.slice(rows: range), BlockContext(part))
            }
            try layerDone(layer)
        }
        let wanted = Matrix(uninitialized: rows.reduce(0) { $0 + $1.count }, x.columns)
        var next = 0
        for (index, range) in rows.enumerated() {
            for position in range {
                wanted.row(next).update(
                    from: x.row(batch.offsets[index] + position),
                    count: x.columns
                )
                next += 1
            }
        }
        return finalNorm(wanted)
    }

    private static func groups(_ sequences: [[UInt32]]) -> [Range<Int>] {
        var groups: [Range<Int>] = []
        var start = 0
        var tokens = 0
        for (index, sequence) in sequences.enumerated() {
            if tokens > 0, tokens + sequence.count > groupTokens {
                groups.append(start..<index)
                (start, tokens) = (index, 0)
            }
            tokens += sequence.count
        }
        if start < sequences.count { groups.append(start..<sequences.count) }
        return groups
    }
}
