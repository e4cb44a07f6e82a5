import CKernels
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
    /// [V, D].
    let head: Parameter
    private let packedHead: PackedWeights

    init(_ checkpoint: Checkpoint, compute: ComputeType) throws {
        self.checkpoint = checkpoint
        self.compute = compute
        architecture = checkpoint.architecture
        embedding = try architecture.tokenEmbedding(from: checkpoint)
        positions = try architecture.positionEmbedding(from: checkpoint)
        finalNorm = try architecture.finalNorm(from: checkpoint)
        head =
            checkpoint.configuration.tiesEmbeddings
            ? embedding : try architecture.head(from: checkpoint)
        packedHead = PackedWeights(head.value, compute: compute)
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
        let x = embed(batch, embedding, positions)
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

    /// The k most likely tokens of each row of hidden states, with their log-probabilities and the
    /// log-partition of the whole row at temperature 1.
    func topLogProbabilities(_ hidden: Matrix, k: Int) -> (
        ids: [UInt32], logProbabilities: [Float], logPartitions: [Float]
    ) {
        var ids = [UInt32](repeating: 0, count: hidden.rows * k)
        var values = [Float](repeating: 0, count: hidden.rows * k)
        var partitions = [Float](repeating: 0, count: hidden.rows)
        let chunk = 256
        let logits = Matrix(uninitialized: min(chunk, max(1, hidden.rows)), packedHead.outputs)
        let vocabulary = packedHead.outputs
        for start in stride(from: 0, to: hidden.rows, by: chunk) {
            let count = min(chunk, hidden.rows - start)
            let part = logits.slice(rows: 0..<count)
            packedHead.multiply(hidden.slice(rows: start..<(start + count)), into: part)
            ids.withUnsafeMutableBufferPointer { ids in
                values.withUnsafeMutableBufferPointer { values in
                    partitions.withUnsafeMutableBufferPointer { partitions in
                        nonisolated(unsafe) let (ids, values) = (ids, values)
                        nonisolated(unsafe) let partitions = partitions
                        parallelRanges(count) { range, _ in
                            var heap = [UInt64](repeating: 0, count: max(1, k))
                            for row in range {
                                let partition = ck_log_sum_exp(part.row(row), vocabulary, 1, nil)
                                partitions[start + row] = partition
                                guard k > 0, let ids = ids.baseAddress,
                                    let values = values.baseAddress
                                else { continue }
                                let at = (start + row) * k
                                ck_top_k(
                                    part.row(row),
                                    vocabulary,
                                    k,
                                    ids + at,
                                    values + at,
                                    &heap
                                )
                                for entry in at..<(at + k) { values[entry] -= partition }
                            }
                        }
                    }
                }
            }
        }
        return (ids, values, partitions)
    }
}
