import CKernels
import Foundation
import Tensors

/// Rotary position embedding (Su and others 2021), pairs (i, i + headSize/2) as in Hugging Face code.
final class Rotary: @unchecked Sendable {
    private let frequencies: [Double]
    private let lock = NSLock()
    private var cosines: [Float] = []
    private var sines: [Float] = []
    private var positionCount = 0

    init(_ configuration: ModelConfiguration) {
        let half = configuration.headSize / 2
        frequencies = (0..<half).map { index in
            let exponent = Double(2 * index) / Double(configuration.headSize)
            let base = 1 / pow(Double(configuration.ropeTheta), exponent)
            guard case .llama3(let scaling) = configuration.ropeScaling else { return base }
            return Self.stretch(base, scaling)
        }
    }

    /// Llama 3: long waves are slowed by `factor`, short ones kept, the middle interpolated.
    private static func stretch(
        _ frequency: Double,
        _ scaling: RopeScaling.Llama3
    ) -> Double {
        let waveLength = 2 * Double.pi / frequency
        let original = Double(scaling.originalMaxPositions)
        let low = Double(scaling.lowFrequencyFactor)
        let high = Double(scaling.highFrequencyFactor)
        if waveLength < original / high { return frequency }
        if waveLength > original / low { return frequency / Double(scaling.factor) }
        let smooth = (original / waveLength - low) / (high - low)
        return (1 - smooth) * frequency / Double(scaling.factor) + smooth * frequency
    }

    /// Turns every head of x (T, heads * headSize) by its token's position; back when `inverse`.
    func apply(_ x: Matrix, heads: Int, positions: [Int32], inverse: Bool = false) {
        let headSize = frequencies.count * 2
        prepare(Int(positions.max() ?? 0) + 1)
        cosines.withUnsafeBufferPointer { c in
            sines.withUnsafeBufferPointer { s in
                positions.withUnsafeBufferPointer { p in
                    guard let c = c.baseAddress, let s = s.baseAddress, let p = p.baseAddress
                    else { return }
                    nonisolated(unsafe) let (cosines, sines, places) = (c, s, p)
                    parallelRanges(x.rows, minimum: 64) { range, _ in
                        ck_rope(
                            x.row(range.lowerBound),
                            places + range.lowerBound,
                            cosines,
                            sines,
                            range.count,
                            heads,
                            headSize,
                            x.stride,
                            inverse ? -1 : 1
                        )
                    }
                }
            }
        }
    }

    private func prepare(_ count: Int) {
        lock.lock()
        defer { lock.unlock() }
        guard count > positionCount else { return }
        let wanted = max(count, 2 * positionCount, 512)
        for position in positionCount..<wanted {
            for frequency in frequencies {
                cosines.append(Float(cos(Double(position) * frequency)))
                sines.append(Float(sin(Double(position) * frequency)))
            }
        }
        positionCount = wanted
    }
}
