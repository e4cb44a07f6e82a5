import Foundation

/// Random numbers that are a pure function of a key and a counter: nothing has to be saved to resume.
///
/// The mixing function is SplitMix64's finaliser (Steele, Lea and Flood 2014), applied to a key made
/// of the seed and of what the numbers are for.
public struct RandomNumbers: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Numbers for one purpose: the same seed and purpose give the same numbers.
    public init(seed: UInt64, purpose: String, counter: UInt64 = 0) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in purpose.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        state = Self.mix(seed &+ 0x9e37_79b9_7f4a_7c15) ^ Self.mix(hash ^ Self.mix(counter &+ 1))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        return Self.mix(state)
    }

    /// A number in [0, 1) with 24 random bits.
    public mutating func uniform() -> Float {
        Float(next() >> 40) * 0x1p-24
    }

    /// A number from the standard normal distribution (Box and Muller 1958).
    public mutating func normal() -> Float {
        let radius = Double(next() >> 11) * 0x1p-53
        let angle = Double(next() >> 11) * 0x1p-53
        return Float(
            (-2 * Foundation.log(1 - radius)).squareRoot() * Foundation.cos(2 * .pi * angle)
        )
    }
}

extension Matrix {
    /// Fills with normal numbers of mean 0.
    public func fillNormal(deviation: Float, using random: inout RandomNumbers) {
        for r in 0..<rows {
            for c in 0..<columns { self[r, c] = random.normal() * deviation }
        }
    }

    /// Fills with uniform numbers in [-bound, bound).
    public func fillUniform(bound: Float, using random: inout RandomNumbers) {
        for r in 0..<rows {
            for c in 0..<columns { self[r, c] = (2 * random.uniform() - 1) * bound }
        }
    }
}
