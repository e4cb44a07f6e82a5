import CKernels
import Tensors

/// How the next token is chosen from the logits.
public struct SamplingOptions: Sendable, Equatable {
    /// 0 takes the most likely token.
    public var temperature: Float
    /// Only the `topK` most likely tokens; 0 takes all.
    public var topK: Int
    /// Only the most likely tokens that together have this probability.
    public var topP: Float
    /// No run of this many tokens occurs twice in an answer; 0 allows it.
    public var noRepeatNgram: Int
    /// The most tokens of an answer.
    public var maxNewTokens: Int
    /// The same seed gives the same answers, whatever the batch.
    public var seed: UInt64

    /// Options as the paper samples: temperature 1, top-p 1, no repeated 6-gram, 256 tokens.
    public init(
        temperature: Float = 1,
        topK: Int = 0,
        topP: Float = 1,
        noRepeatNgram: Int = 6,
        maxNewTokens: Int = 256,
        seed: UInt64 = 10
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.noRepeatNgram = noRepeatNgram
        self.maxNewTokens = maxNewTokens
        self.seed = seed
    }
}

/// Chooses a token from one row of logits, which it changes.
struct Sampler {
    let options: SamplingOptions
    /// The index of the prompt: its random numbers are its own.
    let stream: UInt64

    /// - Parameters:
    ///   - logits: (V); overwritten.
    ///   - answer: The tokens so far.
    func next(_ logits: UnsafeMutableBufferPointer<Float>, answer: [UInt32]) -> UInt32 {
        for token in banned(answer) where Int(token) < logits.count {
            logits[Int(token)] = -.infinity
        }
        guard let base = logits.baseAddress, !logits.isEmpty else { return 0 }
        var best = 0
        // The temperature divides the logits; a greedy choice needs the largest alone.
        let inverse = options.temperature > 0 ? 1 / options.temperature : 1
        let partition = ck_log_sum_exp(base, logits.count, inverse, &best)
        guard options.temperature > 0, options.topK != 1 else { return UInt32(best) }
        var random = RandomNumbers(
            seed: options.seed,
            purpose: "sample \(stream)",
            counter: UInt64(answer.count)
        )
        let draw = random.uniform()
        if options.topK <= 0 && options.topP >= 1 {
            ck_softmax_from(base, logits.count, inverse, partition)
            return Self.pick(logits, share: draw) ?? UInt32(best)
        }
        return pickFiltered(base, logits.count, inverse, partition, draw)
    }

    /// The first index at which the running sum passes `share` of the whole sum.
    private static func pick(_ weights: UnsafeMutableBufferPointer<Float>, share: Float) -> UInt32?
    {
        // Double: a float sum over a whole vocabulary would favour the early tokens.
        var left = Double(share) * weights.reduce(0.0) { $0 + Double($1) }
        for index in weights.indices {
            left -= Double(weights[index])
            if left < 0 { return UInt32(index) }
        }
        return nil
    }

    /// Draws among the most likely tokens that top-k and top-p leave.
    private func pickFiltered(
        _ logits: UnsafeMutablePointer<Float>,
        _ count: Int,
        _ inverse: Float,
        _ partition: Float,
        _ draw: Float
    ) -> UInt32 {
        // Few tokens hold the mass as a rule; more are sorted out only where these do not.
        var size = options.topK > 0 ? min(options.topK, count) : min(256, count)
        while true {
            var ids = [UInt32](repeating: 0, count: size)
            var values = [Float](repeating: 0, count: size)
            var heap = [UInt64](repeating: 0, count: size)
            ck_top_k(logits, count, size, &ids, &values, &heap)
            ck_softmax_from(&values, size, inverse, partition)
            let whole = options.topK > 0 ? values.reduce(0, +) : 1
            var kept = 0
            var sum: Float = 0
            while kept < size, sum < options.topP * whole {
                sum += values[kept]
                kept += 1
            }
            if sum >= options.topP * whole || options.topK > 0 || size == count {
                return values.withUnsafeMutableBufferPointer {
                    let place = Self.pick(.init(rebasing: $0[..<max(1, kept)]), share: draw)
                    return ids[Int(place ?? 0)]
                }
            }
            size = min(count, size * 8)
        }
    }

    /// Tokens that would repeat a run of `noRepeatNgram` tokens.
    private func banned(_ answer: [UInt32]) -> [UInt32] {
        let n = options.noRepeatNgram
        guard n > 0, answer.count >= n else { return [] }
        let tail = answer.suffix(n - 1)
        return (0...(answer.count - n)).compactMap { start in
            answer[start..<(start + n - 1)].elementsEqual(tail) ? answer[start + n - 1] : nil
        }
    }
}
