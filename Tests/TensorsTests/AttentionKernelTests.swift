import CKernels
import Foundation
import Tensors
import Testing

/// Attention in double precision, one query at a time.
private func reference(
    _ q: [Double],
    _ k: [Double],
    _ v: [Double],
    n: Int,
    group: Int,
    dim: Int,
    scale: Double,
    softCap: Double = 0,
    window: Int = 0,
    mask: (_ group: Int, _ query: Int, _ key: Int) -> Double = { _, _, _ in 1 }
) -> [Double] {
    var out = [Double](repeating: 0, count: n * group * dim)
    for g in 0..<group {
        for i in 0..<n {
            let first = window > 0 ? max(0, i - window + 1) : 0
            let scores = (first...i).map { j in
                let score = scale * dot(q, (i * group + g) * dim, k, j * dim, dim)
                return softCap > 0 ? softCap * tanh(score / softCap) : score
            }
            let top = scores.max() ?? 0
            let weights = scores.map { exp($0 - top) }
            let total = weights.reduce(0, +)
            for (j, weight) in zip(first..., weights) {
                let share = weight / total * mask(g, i, j)
                for d in 0..<dim { out[(i * group + g) * dim + d] += share * v[j * dim + d] }
            }
        }
    }
    return out
}

/// A plain loop over pointers: tests are not optimised, and this is where they spend their time.
private func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int, _ count: Int) -> Double {
    a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            var sum = 0.0
            var at = 0
            while at < count {
                sum += a[i + at] * b[j + at]
                at += 1
            }
            return sum
        }
    }
}

/// Sizes of one piece of attention; no soft-cap and no window where they are 0.
struct AttentionShape: CustomStringConvertible {
    let n, group, dim: Int
    var softCap: Float = 0
    var window = 0
    var dropRate: Float = 0

    var description: String {
        "\(n) tokens, \(group) x \(dim), cap \(softCap), window \(window), dropout \(dropRate)"
    }
}

@Suite("Attention kernel")
struct AttentionKernelTests {
    static let shapes = [
        AttentionShape(n: 1, group: 1, dim: 8), AttentionShape(n: 5, group: 3, dim: 12),
        AttentionShape(n: 64, group: 1, dim: 16), AttentionShape(n: 65, group: 2, dim: 24),
        AttentionShape(n: 131, group: 3, dim: 64),
        // A window inside a block of 64 keys, at its edge, over several, and longer than the sequence.
        AttentionShape(n: 131, group: 1, dim: 80, window: 1),
        AttentionShape(n: 200, group: 2, dim: 16, window: 5),
        AttentionShape(n: 200, group: 1, dim: 96, window: 64),
        AttentionShape(n: 261, group: 1, dim: 8, window: 67),
        AttentionShape(n: 70, group: 1, dim: 128, window: 300),
        AttentionShape(n: 67, group: 2, dim: 256, softCap: 2),
        AttentionShape(n: 197, group: 2, dim: 20, softCap: 1.5, window: 61),
        AttentionShape(n: 131, group: 3, dim: 64, dropRate: 0.3),
        AttentionShape(n: 67, group: 2, dim: 20, softCap: 2, window: 61, dropRate: 0.5),
    ]

    private struct Inputs {
        let q, k, v, d: [Float]
        let n, group, dim: Int
        let softCap: Float
        let window: Int
        let dropRate: Float
        static let dropKey: UInt64 = 0x0123_4567_89AB_CDEF
        var scale: Float { 1 / Float(dim).squareRoot() }

        init(_ shape: AttentionShape) {
            (n, group, dim) = (shape.n, shape.group, shape.dim)
            (softCap, window) = (shape.softCap, shape.window)
            dropRate = shape.dropRate
            q = KernelTests.values(n * group * dim, "q", deviation: 2)
            k = KernelTests.values(n * dim, "k", deviation: 2)
            v = KernelTests.values(n * dim, "v")
            d = KernelTests.values(n * group * dim, "d")
        }

        /// What a probability is multiplied by, from the kernel that masks plain rows.
        func mask(_ g: Int, _ query: Int, _ key: Int) -> Double {
            var one: Float = 1
            ck_dropout(&one, 1, (g * n + query) * n + key, Self.dropKey, dropRate)
            return Double(one)
        }

        func forward() -> (out: [Float], lse: [Float]) {
            var out = [Float](repeating: 0, count: q.count)
            var lse = [Float](repeating: 0, count: group * n)
            var scratch = [Float](repeating: .nan, count: ck_attention_scratch(n, dim))
            ck_attention(
                q,
                k,
                v,
                &out,
                &lse,
                n,
                group,
                dim,
                group * dim,
                dim,
                group * dim,
                n,
                scale,
                softCap,
                window,
                dropRate,
                Self.dropKey,
                &scratch
            )
            return (out, lse)
        }
    }

    @Test("equals softmax attention", arguments: shapes)
    func forward(shape: AttentionShape) {
        let inputs = Inputs(shape)
        let expected = reference(
            inputs.q.map(Double.init),
            inputs.k.map(Double.init),
            inputs.v.map(Double.init),
            n: inputs.n,
            group: inputs.group,
            dim: inputs.dim,
            scale: Double(inputs.scale),
            softCap: Double(inputs.softCap),
            window: inputs.window,
            mask: inputs.mask
        )
        let worst = zip(inputs.forward().out, expected).map { abs(Double($0) - $1) }.max() ?? 1
        #expect(worst < 1e-5)
    }

    @Test(
        "decoding one token equals the last row",
        arguments: shapes.filter { $0.dropRate == 0 },
    )
    func decode(shape: AttentionShape) {
        let inputs = Inputs(shape)
        let width = inputs.group * inputs.dim
        var out = [Float](repeating: 0, count: width)
        var scores = [Float](repeating: 0, count: inputs.n)
        let last = Array(inputs.q.suffix(width))
        // The window is the caller's: it passes the keys that are seen.
        let seen = inputs.window > 0 ? min(inputs.n, inputs.window) : inputs.n
        ck_attention_decode(
            last,
            Array(inputs.k.suffix(seen * inputs.dim)),
            Array(inputs.v.suffix(seen * inputs.dim)),
            &out,
            seen,
            inputs.group,
            inputs.dim,
            inputs.dim,
            inputs.scale,
            inputs.softCap,
            &scores
        )
        let expected = inputs.forward().out.suffix(width)
        let worst = zip(out, expected).map { abs($0 - $1) }.max() ?? 1
        #expect(worst < 1e-5)
    }

    @Test("gradients equal central differences in double", arguments: shapes)
    func backward(shape: AttentionShape) {
        let x = Inputs(shape)
        let (out, lse) = x.forward()
        var dq = [Float](repeating: .nan, count: x.q.count)
        var dk = [Float](repeating: .nan, count: x.k.count)
        var dv = dk
        var scratch = [Float](
            repeating: .nan,
            count: ck_attention_backward_scratch(x.n, x.dim)
        )
        ck_attention_backward(
            x.q,
            x.k,
            x.v,
            out,
            lse,
            x.d,
            &dq,
            &dk,
            &dv,
            x.n,
            x.group,
            x.dim,
            x.group * x.dim,
            x.dim,
            x.group * x.dim,
            x.n,
            x.scale,
            x.softCap,
            x.window,
            x.dropRate,
            Inputs.dropKey,
            &scratch
        )
        let inputs = [x.q.map(Double.init), x.k.map(Double.init), x.v.map(Double.init)]
        let weights = x.d.map(Double.init)
        func loss(_ inputs: [[Double]]) -> Double {
            let out = reference(
                inputs[0],
                inputs[1],
                inputs[2],
                n: x.n,
                group: x.group,
                dim: x.dim,
                scale: Double(x.scale),
                softCap: Double(x.softCap),
                window: x.window,
                mask: x.mask
            )
            return zip(out, weights).reduce(0) { $0 + $1.0 * $1.1 }
        }
        var random = RandomNumbers(seed: 1, purpose: "places")
        for (index, gradient) in [dq, dk, dv].enumerated() {
            for _ in 0..<6 {
                let at = Int(random.next() % UInt64(gradient.count))
                let h = 1e-4
                var up = inputs
                var down = inputs
                up[index][at] += h
                down[index][at] -= h
                let expected = (loss(up) - loss(down)) / (2 * h)
                #expect(abs(Double(gradient[at]) - expected) < 1e-4 * max(1, abs(expected)))
            }
        }
    }
}
