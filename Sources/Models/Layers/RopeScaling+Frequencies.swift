import Foundation

extension RopeScaling {
    /// The frequencies after scaling, of a model whose plain ones are `plain`, in radians a position.
    ///
    /// Long rotary positions have two sets, which `Rotary` makes itself.
    func stretched(_ plain: [Double], theta: Double) -> [Double] {
        switch self {
        case .linear(let factor): plain.map { $0 / Double(factor) }
        case .llama3(let scaling): plain.map(scaling.stretched)
        case .yarn(let scaling): scaling.stretched(plain, theta: theta)
        case .longRope: plain
        }
    }

    /// What rotated queries and keys are multiplied by.
    var attentionFactor: Double {
        guard case .yarn(let yarn) = self else { return 1 }
        return yarn.amplitude
    }
}

extension RopeScaling.Llama3 {
    /// What the frequencies of heads of `size` turned channels are divided by, the shortest wave first.
    func divisors(theta: Float, size: Int) -> [Double] {
        (0..<(size / 2)).map { pair in
            let plain = pow(Double(theta), -Double(2 * pair) / Double(size))
            return plain / stretched(plain)
        }
    }

    /// Long waves are slowed by `factor`, short ones kept, the middle interpolated.
    func stretched(_ frequency: Double) -> Double {
        let waveLength = 2 * Double.pi / frequency
        let original = Double(originalMaxPositions)
        let (low, high) = (Double(lowFrequencyFactor), Double(highFrequencyFactor))
        if waveLength < original / high { return frequency }
        if waveLength > original / low { return frequency / Double(factor) }
        let smooth = (original / waveLength - low) / (high - low)
        return (1 - smooth) * frequency / Double(factor) + smooth * frequency
    }
}

extension RopeScaling.Yarn {
    /// A ramp over the channels: those that turn more than `betaFast` times over the original
    /// positions are kept, those that turn less than `betaSlow` times are slowed by `factor`
    /// (section 3.2 of the paper).
    func stretched(_ plain: [Double], theta: Double) -> [Double] {
        let size = Double(2 * plain.count)
        func channel(turns: Float) -> Double {
            size * log(Double(originalMaxPositions) / (Double(turns) * 2 * .pi)) / (2 * log(theta))
        }
        var (low, high) = (channel(turns: betaFast), channel(turns: betaSlow))
        if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        low = max(low, 0)
        high = min(high, size - 1)
        // A ramp of no length would divide by zero.
        if low == high { high += 0.001 }
        return plain.enumerated().map { index, frequency in
            let slowed = min(max((Double(index) - low) / (high - low), 0), 1)
            return frequency / Double(factor) * slowed + frequency * (1 - slowed)
        }
    }

    var amplitude: Double {
        if let attentionFactor { return Double(attentionFactor) }
        func scaled(_ by: Float) -> Double {
            factor <= 1 ? 1 : 0.1 * Double(by) * log(Double(factor)) + 1
        }
        if let scale, let scaleAllDimensions, scale != 0, scaleAllDimensions != 0 {
            return scaled(scale) / scaled(scaleAllDimensions)
        }
        return scaled(1)
    }
}

extension RopeScaling.LongRope {
    func amplitude(maxPositions: Int) -> Double {
        if let attentionFactor { return Double(attentionFactor) }
        let original = Double(originalMaxPositions)
        let factor = self.factor.map(Double.init) ?? Double(maxPositions) / original
        return factor <= 1 ? 1 : (1 + log(factor) / log(original)).squareRoot()
    }
}
