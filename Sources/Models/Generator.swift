import Tensors

/// Answers many prompts at once with a key-value cache.
///
/// A fixed number of prompts is under way together; when some have ended, new ones take their
/// places. Answers depend on the prompt, its index and the options, not on what runs beside it
/// (apart from float32 rounding, which the batch size can change).
public struct Generator {
    private let model: TransformerModel
    private let compute: ComputeType
    private let slotCount: Int
    private let head: PackedWeights

    /// - Parameters:
    ///   - model: Its blocks are packed for `compute`.
    ///   - batchSize: How many prompts are answered at a time.
    public init(_ model: TransformerModel, compute: ComputeType = .f32, batchSize: Int = 64) {
        self.model = model
        self.compute = compute
        slotCount = max(1, batchSize)
        model.pack(compute)
        head = PackedWeights(model.outputHead.value, compute: compute)
    }

    private struct Sequence {
        let index: Int
        let slot: Int
        /// How many tokens have gone through the model.
        var length: Int
        var answer: [UInt32]
        let sampler: Sampler
    }

    /// Generates an answer for each prompt.
    ///
    /// - Parameters:
    ///   - prompts: Token ids; those longer than the model's positions leave no room and get an
    ///     empty answer.
    ///   - stop: The tokens that end an answer; they are not part of it.
    ///   - streams: Which random numbers each prompt gets; its index when not given.
    ///   - shouldStop: Asked before every token; true leaves the unfinished answers empty.
    ///   - progress: Called with every finished prompt's index, its answer, and whether it came to an
    ///     end by itself rather than by the limit.
    /// - Returns: The answers in the order of the prompts.
    @discardableResult
    public func generate(
        _ prompts: [[UInt32]],
        options: SamplingOptions,
        stop: Set<UInt32>,
        streams: [UInt64]? = nil,
        shouldStop: () -> Bool = { false },
        progress: (_ index: Int, _ answer: [UInt32], _ ended: Bool) -> Void = { _, _, _ in }
    ) -> [[UInt32]] {
        var answers = [[UInt32]](repeating: [], count: prompts.count)
        let longest = prompts.map(\.count).max() ?? 0
        let limit = model.configuration.maxPositions
        let capacity = min(limit, longest + min(limit, options.maxNewTokens))
        let slots = min(slotCount, max(1, prompts.count))
        let cache = KeyValueCache(model.configuration, slots: slots, capacity: capacity)
        var free = Array((0..<slots).reversed())
        var active: [Sequence] = []
        var waiting = 0

        func finish(_ sequence: Sequence, ended: Bool) {
            answers[sequence.index] = sequence.answer
            free.append(sequence.slot)
            progress(sequence.index, sequence.answer, ended)
        }
        /// Takes one more token for each sequence; those that end are let go.
        func advance(_ sequences: [Sequence], _ hidden: Matrix) -> [Sequence] {
            let tokens = choose(sequences, hidden)
            var going: [Sequence] = []
            for (var sequence, token) in zip(sequences, tokens) {
                if stop.contains(token) {
                    finish(sequence, ended: true)
                    continue
                }
                sequence.answer.append(token)
                if sequence.answer.count >= options.maxNewTokens || sequence.length >= capacity {
                    finish(sequence, ended: false)
                } else {
                    going.append(sequence)
                }
            }
            return going
        }

        while !shouldStop(), waiting < prompts.count || !active.isEmpty {
            // New prompts come in groups: a prefill of one short prompt wastes a pass over the weights.
            if waiting < prompts.count, active.isEmpty || free.count * 4 >= slots {
                var starting: [Sequence] = []
                while waiting < prompts.count, let slot = free.popLast() {
                    let index = waiting
                    waiting += 1
                    let sequence = Sequence(
                        index: index,
                        slot: slot,
                        length: prompts[index].count,
                        answer: [],
                        sampler: Sampler(options: options, stream: streams?[index] ?? UInt64(index))
                    )
                    if prompts[index].isEmpty || prompts[index].count > capacity
                        || options.maxNewTokens < 1
                    {
                        finish(sequence, ended: false)
                    } else {
                        starting.append(sequence)
                    }
                }
                if !starting.isEmpty {
                    active += advance(
                        starting,
                        prefill(starting.map { ($0, prompts[$0.index]) }, cache)
                    )
                }
            }
            guard !active.isEmpty else { continue }
            let hidden = decode(&active, prompts, cache)
            active = advance(active, hidden)
        }
        return answers
    }

    /// The hidden state of the last token of each prompt, (B, d) before the final norm.
    private func prefill(_ group: [(sequence: Sequence, prompt: [UInt32])], _ cache: KeyValueCache)
        -> Matrix
    {
        let batch = VarlenBatch(group.map(\.prompt))
        let x = model.hiddenStates(batch.tokens, positions: batch.positions, cache: cache) {
            layer in
            let context = BlockContext(batch)
            context.cache = layer
            context.slots = group.map(\.sequence.slot)
            return context
        }
        let last = Matrix(uninitialized: group.count, x.columns)
        for index in group.indices {
            last.row(index).update(from: x.row(batch.offsets[index + 1] - 1), count: x.columns)
        }
        return last
    }

    /// The hidden state of each sequence's newest token, (B, d) before the final norm.
    private func decode(_ active: inout [Sequence], _ prompts: [[UInt32]], _ cache: KeyValueCache)
        -> Matrix
    {
        defer { for index in active.indices { active[index].length += 1 } }
        // Long rotary positions change all keys of a sequence that has grown past the original length,
        // so it goes through the model once more from its start.
        if case .longRope(let rope) = model.configuration.ropeScaling,
            active.contains(where: { $0.length == rope.originalMaxPositions })
        {
            let rows = active.map { sequence in
                sequence.length == rope.originalMaxPositions
                    ? prefill([(sequence, prompts[sequence.index] + sequence.answer)], cache)
                    : decode([sequence], cache)
            }
            let hidden = Matrix(uninitialized: rows.count, model.configuration.hiddenSize)
            for (index, row) in rows.enumerated() {
                hidden.row(index).update(from: row.row(0), count: row.columns)
            }
            return hidden
        }
        return decode(active, cache)
    }

    private func decode(_ active: [Sequence], _ cache: KeyValueCache) -> Matrix {
        let tokens = active.map { $0.answer.last ?? 0 }
        let positions = active.map { Int32($0.length) }
        let slots = active.map(\.slot)
        return model.hiddenStates(tokens, positions: positions, cache: cache) { layer in
            BlockContext(decodingAt: positions, slots: slots, cache: layer)
        }
    }

    private func choose(_ sequences: [Sequence], _ hidden: Matrix) -> [UInt32] {
        let logits = Matrix(uninitialized: hidden.rows, head.outputs)
        head.multiply(model.normalized(hidden), into: logits)
        model.configuration.capLogits(logits)
        var tokens = [UInt32](repeating: 0, count: sequences.count)
        tokens.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let result = buffer
            let samplers = sequences.map { ($0.sampler, $0.answer) }
            parallelEach(sequences.count) { row in
                let (sampler, answer) = samplers[row]
                result[row] = sampler.next(
                    UnsafeMutableBufferPointer(start: logits.row(row), count: logits.columns),
                    answer: answer
                )
            }
        }
        return tokens
    }
}
