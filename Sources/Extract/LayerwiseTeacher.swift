import CKernels
import Cache
import Foundation
import Models
import Synchronization
import Tensors

/// A teacher that is in memory one layer at a time.
///
/// A block of tokens goes through a layer as a whole before the next layer is loaded, so a teacher
/// larger than memory costs its weights once a block, not once a batch.
final class LayerwiseTeacher {
    let checkpoint: Checkpoint
    let compute: ComputeType
    private let architecture: any Architecture
    private let embedding: TeacherTable
    private let positions: Parameter?
    private let finalNorm: FinalNorm
    private let scratch: String?
    private let signals: CacheSignals
    /// Groups that go through a layer at a time.
    let streams: Int
    private let keepsMemory: Bool
    /// What makes logits of hidden states.
    let head: TeacherHead

    /// Reads the final norm, learned positions, and the head when `memory` has room for it.
    ///
    /// - Parameters:
    ///   - memory: What may be resident.
    ///   - scratch: The directory of scratch files, should the plan need them.
    ///   - signals: Which layers and positions are wanted.
    init(
        _ checkpoint: Checkpoint,
        compute: ComputeType,
        memory: MemoryPlan,
        scratch: String,
        signals: CacheSignals = CacheSignals()
    ) throws {
        self.signals = signals
        self.checkpoint = checkpoint
        self.compute = compute
        let architecture = checkpoint.architecture
        self.architecture = architecture
        embedding = try TeacherTable(checkpoint) { try architecture.tokenEmbedding(from: $0) }
        positions = try architecture.positionEmbedding(from: checkpoint)
        finalNorm = try architecture.finalNorm(from: checkpoint)
        head = try TeacherHead(checkpoint, compute: compute, isResident: memory.keepsHead)
        streams = memory.streams
        keepsMemory = memory.kept > 0
        ck_set_kept_memory(memory.kept)
        self.scratch = memory.usesScratchFile ? scratch : nil
    }

    /// The embedding rows of the given tokens, (n, D); sorted, none twice.
    func embeddingRows(_ tokens: [UInt32]) throws -> Matrix {
        try embedding.gather(tokens)
    }

    /// Pushes a block of examples through all layers and hands out their final hidden states.
    ///
    /// - Parameters:
    ///   - examples: All examples of the extraction.
    ///   - groups: Index ranges of those that go through a layer together; several groups do so at a time.
    ///   - layerDone: Called after each group and layer with the states (tokens, D) behind that layer,
    ///     one call at a time but from several threads; throws to stop.
    ///   - finish: Called for each group with the states of its wanted rows, end to end.
    /// - Throws: `ModelError`, `CacheError` of the scratch file, `ExtractError` naming the example whose
    ///   states are not finite, and what the closures throw.
    func run(
        _ examples: [TokenizedExample],
        groups: [Range<Int>],
        layerDone: (_ layer: Int, _ group: Range<Int>, _ states: Matrix) throws -> Void,
        finish: (_ group: Range<Int>, _ states: TeacherStates) throws -> Void
    ) throws {
        let counts = groups.map { examples[$0].tokenCount }
        let starts = counts.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
        func room() throws -> Activations {
            try Activations(
                tokens: starts[groups.count],
                width: checkpoint.configuration.hiddenSize,
                scratchIn: scratch
            )
        }
        let activations = try room()
        var kept: [Int: Activations] = [:]
        for layer in signals.hiddenLayers { kept[layer] = try room() }
        for layer in 0..<checkpoint.configuration.layerCount {
            let block = try loadLayer(layer)
            try inStreams(groups.count) { index in
                let rows = starts[index]..<starts[index + 1]
                let batch = VarlenBatch(examples[groups[index]].map(\.tokenIDs))
                let x: Matrix
                if layer == 0 {
                    x = activations.new(rows: rows)
                    x.assign(try embed(batch))
                    try kept[0]?.keep(x, rows: rows)
                } else {
                    x = try activations.load(rows: rows)
                }
                block.forward(x, BlockContext(batch))
                try activations.store(x, rows: rows)
                try kept[layer + 1]?.keep(x, rows: rows)
                return x
            } done: { index, x in
                try layerDone(layer, groups[index], x)
            }
        }
        releaseFreeMemory()
        for (index, group) in groups.enumerated() {
            let rows = starts[index]..<starts[index + 1]
            let final = finalStates(try activations.load(rows: rows), examples[group])
            try check(final, examples[group])
            var states = TeacherStates(final: final)
            for (layer, activations) in kept {
                states.layers[layer] = gather(try activations.load(rows: rows), examples[group])
            }
            try finish(group, states)
        }
    }

    /// Does `work` for every group, several at a time on a thread each, so that no result depends on how
    /// many threads or groups there are.
    ///
    /// - Parameters:
    ///   - done: Called with what `work` made, one call at a time.
    /// - Throws: The first error, after which no further group is begun.
    private func inStreams(
        _ count: Int,
        _ work: (Int) throws -> Matrix,
        done: (Int, Matrix) throws -> Void
    ) throws {
        let failure = Mutex<(any Error)?>(nil)
        withoutActuallyEscaping(work) { work in
            withoutActuallyEscaping(done) { done in
                nonisolated(unsafe) let (work, done) = (work, done)
                parallelStreams(count, streams: streams) { index in
                    guard failure.withLock({ $0 == nil }) else { return }
                    do {
                        let made = try work(index)
                        try failure.withLock { if $0 == nil { try done(index, made) } }
                    } catch {
                        failure.withLock { $0 = $0 ?? error }
                    }
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// A layer with its weights ready for products.
    func loadLayer(_ index: Int) throws -> any TransformerBlock {
        // Where memory is short, that of the layer before is not kept. The allocator's never is: glibc
        // does not fill aligned blocks that were freed again, and they would add up over the layers.
        if keepsMemory { ck_trim_allocator() } else { releaseFreeMemory() }
        let block = try architecture.block(index, from: checkpoint)
        block.pack(compute)
        return block
    }

    /// Sends the states of several groups of the same examples through a layer at a time.
    func forward(_ block: any TransformerBlock, _ states: [Matrix], _ batch: VarlenBatch) {
        nonisolated(unsafe) let block = block
        parallelStreams(states.count, streams: streams) { index in
            block.forward(states[index], BlockContext(batch))
        }
    }

    /// What enters the first layer, (T, D): only the rows of tokens that occur are read.
    func embed(_ batch: VarlenBatch) throws -> Matrix {
        let ids = Set(batch.tokens).sorted()
        let rows = try embedding.gather(ids)
        var places: [UInt32: UInt32] = [:]
        for (place, id) in ids.enumerated() { places[id] = UInt32(place) }
        var start = 0
        let renamed = batch.offsets.dropFirst().map { end in
            defer { start = end }
            return batch.tokens[start..<end].map { places[$0] ?? 0 }
        }
        return Models.embed(
            VarlenBatch(renamed),
            Parameter(name: "embedding", shape: [ids.count, rows.columns], value: rows),
            positions,
            scale: checkpoint.configuration.embeddingScale
        )
    }

    /// The states of the wanted rows after the final norm, (rows, D).
    func finalStates(_ x: Matrix, _ examples: ArraySlice<TokenizedExample>) -> Matrix {
        finalNorm(gather(x, examples))
    }

    /// The wanted rows of the states of all tokens, end to end.
    private func gather(_ x: Matrix, _ examples: ArraySlice<TokenizedExample>) -> Matrix {
        let wanted = Matrix(uninitialized: examples.rowCount(signals.positions), x.columns)
        var start = 0
        var next = 0
        for example in examples {
            for position in example.rows(signals.positions) {
                wanted.row(next).update(from: x.row(start + position), count: x.columns)
                next += 1
            }
            start += example.tokenIDs.count
        }
        return wanted
    }

    /// Refuses states that are not numbers, naming the example and the layer.
    private func check(_ hidden: Matrix, _ examples: ArraySlice<TokenizedExample>) throws {
        guard ck_count_nonfinite(hidden.base, hidden.count) > 0 else { return }
        var row = 0
        for example in examples {
            let rows = example.rows(signals.positions).count
            let count = rows * hidden.columns
            let bad = ck_count_nonfinite(hidden.row(row), count)
            row += rows
            guard bad > 0 else { continue }
            let layer = try firstBadLayer(example)
            throw ExtractError(
                .badData,
                checkpoint.url.path,
                "example \(example.example.id): \(bad) of \(count) values of its final hidden states "
                    + "are NaN or infinite, first behind \(layer)",
                remedy: compute.available == .bf16
                    ? "The teacher overflows in bf16: set extract.compute to f32"
                    : "Check the weights, or fetch the teacher again"
            )
        }
    }

    /// Runs one example again to see where its numbers go wrong.
    private func firstBadLayer(_ example: TokenizedExample) throws -> String {
        let batch = VarlenBatch([example.tokenIDs])
        let x = try embed(batch)
        guard ck_count_nonfinite(x.base, x.count) == 0 else { return "the embedding" }
        for layer in 0..<checkpoint.configuration.layerCount {
            try loadLayer(layer).forward(x, BlockContext(batch))
            if ck_count_nonfinite(x.base, x.count) > 0 { return "layer \(layer)" }
        }
        return "the final norm"
    }

    /// Gives memory that was freed back to the system: the allocator keeps what it may use again, and
    /// it would add up over the layers.
    private func releaseFreeMemory() { ck_release_free_memory() }
}
