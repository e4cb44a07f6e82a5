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
    ///   - layers: Other layers that are wanted: 0 is the embedding, i the output of block i.
    ///   - layerDone: Called after each layer; throws to stop.
    /// - Returns: (rows, D) float32 each.
    func hiddenStates(
        _ sequences: [[UInt32]],
        rows: [Range<Int>],
        layers: [Int] = [],
        layerDone: (Int) throws -> Void
    ) throws -> TeacherStates {
        let batch = VarlenBatch(sequences)
        let x = embed(batch, embedding, positions)
        let groups = Self.groups(sequences)
        var kept: [Int: Matrix] = [:]
        if layers.contains(0) { kept[0] = Self.gather(x, rows, batch) }
        for layer in 0..<checkpoint.configuration.layerCount {
            let block = try architecture.block(layer, from: checkpoint)
            block.pack(compute)
            for group in groups {
                let part = VarlenBatch(Array(sequences[group]))
                let range = batch.offsets[group.lowerBound]..<batch.offsets[group.upperBound]
                block.forward(x.slice(rows: range), BlockContext(part))
            }
            if layers.contains(layer + 1) { kept[layer + 1] = Self.gather(x, rows, batch) }
            try layerDone(layer)
        }
        return TeacherStates(final: finalNorm(Self.gather(x, rows, batch)), layers: kept)
    }

    /// The given rows of each sequence of `x`, end to end.
    private static func gather(_ x: Matrix, _ rows: [Range<Int>], _ batch: VarlenBatch) -> Matrix {
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
        return wanted
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
