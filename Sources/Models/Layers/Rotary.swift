import CKernels
import Foundation
import Tensors

/// Rotary position embedding (Su and others 2021), pairs (i, i + size/2) of a head's first `size`
/// channels, as in Hugging Face code.
final class Rotary: Sendable {
    private let short: RotaryTable
    /// What sequences longer than `originalMaxPositions` use, where they use another.
    private let long: RotaryTable?
    private let originalMaxPositions: Int

    /// - Parameter local: The positions of Gemma 3's sliding layers: another base, no scaling.
    init(_ c: ModelConfiguration, local: Bool = false) {
        let size = c.rotarySize ?? c.headSize
        let theta = Double(local ? c.localRopeTheta ?? c.ropeTheta : c.ropeTheta)
        let plain = (0..<(size / 2)).map { pow(theta, -Double(2 * $0) / Double(size)) }
        let scaling = local ? nil : c.ropeScaling
        guard case .longRope(let rope) = scaling else {
            short = RotaryTable(
                scaling?.stretched(plain, theta: theta) ?? plain,
                amplitude: scaling?.attentionFactor ?? 1
            )
            long = nil
            originalMaxPositions = .max
            return
        }
        let amplitude = rope.amplitude(maxPositions: c.maxPositions)
        func table(_ factors: [Float]) -> RotaryTable {
            RotaryTable(zip(plain, factors).map { $0 / Double($1) }, amplitude: amplitude)
        }
        short = table(rope.shortFactors)
        long = table(rope.longFactors)
        originalMaxPositions = rope.originalMaxPositions
    }

    /// Turns every head of x by its token's position; back when `inverse`.
    ///
    /// - Parameters:
    ///   - x: (T, heads * headSize), or a view with heads `headStep` floats apart.
    ///   - context: The tokens' positions, and which sequence each belongs to.
    func apply(
        _ x: Matrix,
        heads: Int,
        headStep: Int,
        _ context: BlockContext,
        inverse: Bool = false
    ) {
        guard let long else {
            short.turn(x, 0..<x.rows, heads, headStep, context.positions, inverse)
            return
        }
        for (start, end) in zip(context.offsets, context.offsets.dropFirst()) where end > start {
            let length = Int(context.positions[end - 1]) + 1
            let table = length > originalMaxPositions ? long : short
            table.turn(x, start..<end, heads, headStep, context.positions, inverse)
        }
    }
}

/// Cosines and sines of the positions seen so far, (positions, frequencies).
private final class RotaryTable: @unchecked Sendable {
    private let frequencies: [Double]
    /// Both are multiplied by it.
    private let amplitude: Double
    // Guards what follows.
    private let lock = NSLock()
    private var cosines: [Float] = []
    private var sines: [Float] = []
    private var positionCount = 0

    init(_ frequencies: [Double], amplitude: Double) {
        self.frequencies = frequencies
        self.amplitude = amplitude
    }

    func turn(
        _ x: Matrix,
        _ rows: Range<Int>,
        _ heads: Int,
        _ headStep: Int,
        _ positions: [Int32],
        _ inverse: Bool
    ) {
        let size = frequencies.count * 2
        let (cosines, sines) = prepare(Int(positions[rows].max() ?? 0) + 1)
        cosines.withUnsafeBufferPointer { c in
            sines.withUnsafeBufferPointer { s in
                positions.withUnsafeBufferPointer { p in
                    guard let c = c.baseAddress, let s = s.baseAddress, let p = p.baseAddress
                    else { return }
                    nonisolated(unsafe) let (cosines, sines, places) = (c, s, p)
                    parallelRanges(rows.count, minimum: 64) { range, _ in
                        let first = rows.lowerBound + range.lowerBound
                        ck_rope(
                            x.row(first),
                            places + first,
                            cosines,
                            sines,
                            range.count,
                            heads,
                            size,
                            headStep,
                            x.stride,
                            inverse ? -1 : 1
                        )
                    }
                }
            }
        }
    }

    /// The tables, with at least `count` positions.
    private func prepare(_ count: Int) -> (cosines: [Float], sines: [Float]) {
        lock.lock()
        defer { lock.unlock() }
        if count > positionCount {
            let wanted = max(count, 2 * positionCount, 512)
            for position in positionCount..<wanted {
                for frequency in frequencies {
                    let angle = Double(position) * frequency
                    cosines.append(Float(amplitude * cos(angle)))
                    sines.append(Float(amplitude * sin(angle)))
                }
            }
            positionCount = wanted
        }
        return (cosines, sines)
    }
}
