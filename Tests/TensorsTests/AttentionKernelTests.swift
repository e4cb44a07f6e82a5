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
    scale: Double
) -> [Double] {
    var out = [Double](repeating: 0, count: n * group * dim)
    for g in 0..<group {
        for i in 0..<n {
            let scores = (0...i).map { j in
                (0..<dim).reduce(0.0) { $0 + q[(i * group + g) * dim + $1] * k[j * dim + $1] }
                    * scale
            }
            let top = scores.max() ?? 0
            let weights = scores.map { exp($0 - top) }
            let total = weights.reduce(0, +)
            for (j, weight) in weights.enumerated() {
                for d in 0..<dim {
                    out[(i * group + g) * dim + d] += weight / total * v[j * dim + d]
                }
            }
        }
    }
    return out
}

@Suite("Attention kernel")
struct AttentionKernelTests {
    static let shapes = [(1, 1, 8), (5, 3, 12), (64, 1, 16), (65, 2, 24), (131, 3, 64)]

    private struct Inputs {
        let q, k, v, d: [Float]
        let n, group, dim: Int
        var scale: Float { 1 / Float(dim).squareRoot() }

        init(_ shape: (Int, Int, Int)) {
            (n, group, dim) = shape
            q = KernelTests.values(n * group * dim, "q", deviation: 2)
            k = KernelTests.values(n * dim, "k", deviation: 2)
            v = KernelTests.values(n * dim, "v")
            d = KernelTests.values(n * group * dim, "d")
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
                &scratch
            )
            return (out, lse)
        }
    }

    @Test("equals softmax attention", arguments: shapes)
    func forward(shape: (Int, Int, Int)) {
        let inputs = Inputs(shape)
        let expected = reference(
            inputs.q.map(Double.init),
            inputs.k.map(Double.init),
            inputs.v.map(Double.init),
            n: inputs.n,
            group: inputs.group,
            dim: inputs.dim,
            scale: Double(inputs.scale)
        )
        let worst = zip(inputs.forward().out, expected).map { abs(Double($0) - $1) }.max() ?? 1
        #expect(worst < 1e-5)
    }

    @Test("decoding one token equals the last row", arguments: shapes)
    func decode(shape: (Int, Int, Int)) {
        let inputs = Inputs(shape)
        let width = inputs.group * inputs.dim
        var out = [Float](repeating: 0, count: width)
        var scores = [Float](repeating: 0, count: inputs.n)
        let last = Array(inputs.q.suffix(width))
        ck_attention_decode(
            last,
            inputs.k,
            inputs.v,
            &out,
            inputs.n,
            inputs.group,
            inputs.dim,
            inputs.dim,
            inputs.scale,
            &scores
        )
        let expected = inputs.forward().out.suffix(width)
        let worst = zip(out, expected).map { abs($0 - $1) }.max() ?? 1
        #expect(worst < 1e-5)
    }

    @Test("gradients equal central differences in double", arguments: shapes)
    func backward(shape: (Int, Int, Int)) {
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
                scale: Double(x.scale)
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
