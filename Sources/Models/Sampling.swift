import Foundation
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
        guard options.temperature > 0 else { return UInt32(Self.argmax(logits)) }
        var random = RandomNumbers(
            seed: options.seed,
            purpose: "sample \(stream)",
            counter: UInt64(answer.count)
        )
        let whole = options.topK <= 0 && options.topP >= 1
        let order: [Int] = whole ? [] : candidates(logits)
        let count = whole ? logits.count : order.count
        func logit(_ index: Int) -> Float { whole ? logits[index] : logits[order[index]] }
        var top = -Float.infinity
        for index in 0..<count { top = max(top, logit(index)) }
        // Double, since a float sum over a whole vocabulary would favour the early tokens.
        var total = 0.0
        var weights = [Double](repeating: 0, count: count)
        for index in 0..<count {
            weights[index] = Double(expf((logit(index) - top) / options.temperature))
            total += weights[index]
        }
        var kept = count
        if options.topP < 1 {
            var sum = 0.0
            kept = 0
            while kept < count, sum < Double(options.topP) * total {
                sum += weights[kept]
                kept += 1
            }
            total = sum
        }
        var left = Double(random.uniform()) * total
        for index in 0..<kept {
            left -= weights[index]
            if left < 0 { return UInt32(whole ? index : order[index]) }
        }
        return UInt32(whole ? Self.argmax(logits) : order[0])
    }

    private static func argmax(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return best
    }

    /// The tokens in falling order, as many as top-k allows.
    private func candidates(_ logits: UnsafeMutableBufferPointer<Float>) -> [Int] {
        let sorted = logits.indices.sorted {
            logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1
        }
        return options.topK > 0 ? Array(sorted.prefix(options.topK)) : sorted
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
