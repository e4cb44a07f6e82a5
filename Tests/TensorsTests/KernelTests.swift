import CKernels
import Foundation
import Tensors
import Testing

@Suite("Row kernels")
struct KernelTests {
    static let sizes = [1, 7, 15, 16, 17, 63, 64, 65, 1_000]

    static func values(_ count: Int, _ purpose: String, deviation: Float = 1) -> [Float] {
        let matrix = Matrix(uninitialized: 1, count)
        var random = RandomNumbers(seed: 3, purpose: purpose)
        matrix.fillNormal(deviation: deviation, using: &random)
        return matrix.values
    }

    @Test("log-sum-exp and its argmax equal those in double", arguments: sizes)
    func logSumExp(n: Int) {
        let x = Self.values(n, "lse", deviation: 5)
        var argmax = 0
        let found = ck_log_sum_exp(x, n, 0.5, &argmax)
        let expected = log(x.reduce(0.0) { $0 + exp(Double($1) * 0.5) })
        #expect(abs(Double(found) - expected) < 2e-6 * max(1, abs(expected)))
        #expect(x[argmax] == x.max())
    }

    @Test("log-sum-exp does not overflow")
    func largeLogits() {
        #expect(ck_log_sum_exp([1e4, 1e4 - 1], 2, 1, nil).isFinite)
        #expect(ck_log_sum_exp([-1e4, -1e5], 2, 1, nil) == -1e4)
    }

    @Test("top-k is sorted, with ties to the smaller index", arguments: sizes)
    func topK(n: Int) {
        var x = Self.values(n, "topk")
        if n > 10 { x[3] = x[9] }
        let k = min(n, 12)
        var ids = [UInt32](repeating: 0, count: k)
        var found = [Float](repeating: 0, count: k)
        var heap = [UInt64](repeating: 0, count: k)
        ck_top_k(x, n, k, &ids, &found, &heap)
        let order = x.indices.sorted { x[$0] != x[$1] ? x[$0] > x[$1] : $0 < $1 }
        #expect(ids.map(Int.init) == Array(order.prefix(k)))
        #expect(found == order.prefix(k).map { x[$0] })
    }

    @Test("bf16 rounds to nearest even and keeps NaN")
    func bf16() {
        let x: [Float] = [1, -2.5, 1.00390625, 1.01171875, .infinity, .nan, 0, 3.4e38]
        var bits = [UInt16](repeating: 0, count: x.count)
        ck_to_bf16(x, &bits, x.count)
        #expect(bits[0] == 0x3F80 && bits[1] == 0xC020)
        #expect(bits[2] == 0x3F80, "halfway goes to the even neighbour")
        #expect(bits[3] == 0x3F82)
        var back = [Float](repeating: 0, count: x.count)
        ck_from_bf16(bits, &back, x.count)
        #expect(back[4] == .infinity && back[5].isNaN && back[6] == 0)
    }

    @Test("AdamW follows the published steps", arguments: sizes)
    func adamW(n: Int) {
        var weight = Self.values(n, "w")
        var m = [Float](repeating: 0, count: n)
        var v = m
        var expected = weight.map(Double.init)
        var em = [Double](repeating: 0, count: n)
        var ev = em
        for step in 1...3 {
            let gradient = Self.values(n, "g\(step)")
            let (c1, c2) = (1 - pow(0.9, Double(step)), 1 - pow(0.999, Double(step)))
            ck_adamw(
                &weight,
                gradient,
                &m,
                &v,
                n,
                1e-2,
                0.9,
                0.999,
                1e-8,
                0.1,
                Float(c1),
                Float(c2),
                0.5
            )
            for i in 0..<n {
                let g = Double(gradient[i]) * 0.5
                em[i] = 0.9 * em[i] + 0.1 * g
                ev[i] = 0.999 * ev[i] + 0.001 * g * g
                expected[i] -= 1e-2 * 0.1 * expected[i]
                expected[i] -= 1e-2 * (em[i] / c1) / ((ev[i] / c2).squareRoot() + 1e-8)
            }
        }
        let worst = zip(weight, expected).map { abs(Double($0) - $1) }.max() ?? 1
        #expect(worst < 1e-5)
    }

    @Test("activations, gated or not, and their slopes agree with double", arguments: sizes)
    func activations(n: Int) {
        let x = Self.values(n, "x", deviation: 3)
        let up = Self.values(n, "up")
        let d = Self.values(n, "d")
        typealias Kernels = (
            plain: (UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int) -> Void,
            slope: (
                UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int
            ) -> Void,
            gated: (
                UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int
            ) -> Void,
            gatedSlopes: (
                UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?,
                UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?, Int
            ) -> Void,
            exact: (Double) -> Double
        )
        let all: [Kernels] = [
            (
                ck_silu, ck_silu_backward, ck_silu_mul, ck_silu_mul_backward,
                { $0 / (1 + exp(-$0)) }
            ),
            (
                ck_gelu_tanh, ck_gelu_tanh_backward, ck_gelu_tanh_mul, ck_gelu_tanh_mul_backward,
                {
                    0.5 * $0
                        * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
                }
            ),
            (
                ck_gelu, ck_gelu_backward, ck_gelu_mul, ck_gelu_mul_backward,
                { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) }
            ),
        ]
        let h = 1e-5
        for kernels in all {
            var (plain, gated, dx, dGate, dUp) = (x, x, x, x, x)
            kernels.plain(x, &plain, n)
            kernels.slope(x, d, &dx, n)
            kernels.gated(x, up, &gated, n)
            kernels.gatedSlopes(x, up, d, &dGate, &dUp, n)
            for i in 0..<n {
                let (a, u, g) = (Double(x[i]), Double(up[i]), Double(d[i]))
                let value = kernels.exact(a)
                let slope = (kernels.exact(a + h) - kernels.exact(a - h)) / (2 * h)
                #expect(abs(Double(plain[i]) - value) < 2e-6)
                #expect(abs(Double(gated[i]) - value * u) < 1e-5)
                #expect(abs(Double(dx[i]) - slope * g) < 1e-5)
                #expect(abs(Double(dGate[i]) - slope * u * g) < 1e-4)
                #expect(abs(Double(dUp[i]) - value * g) < 1e-5)
            }
        }
    }

    @Test("soft-capping and its slope agree with double", arguments: sizes)
    func softCap(n: Int) {
        let x = Self.values(n, "x", deviation: 3)
        let d = Self.values(n, "d")
        var (y, dx) = (x, d)
        ck_soft_cap(&y, n, 2)
        ck_soft_cap_backward(y, &dx, n, 2)
        for i in 0..<n {
            let t = tanh(Double(x[i]) / 2)
            #expect(abs(Double(y[i]) - 2 * t) < 2e-6 * max(0.1, abs(t)))
            #expect(abs(Double(dx[i]) - Double(d[i]) * (1 - t * t)) < 1e-5)
        }
    }

    @Test("rotary turns back what it turned")
    func rotary() {
        let x = Matrix(Self.values(3 * 16, "rope"), rows: 3, columns: 16)
        let original = x.values
        let cosines = (0..<40).map { Float(cos(Double($0))) }
        let sines = (0..<40).map { Float(sin(Double($0))) }
        let positions: [Int32] = [0, 4, 9]
        ck_rope(x.base, positions, cosines, sines, 3, 2, 8, 8, 16, 1)
        #expect(x.values != original)
        ck_rope(x.base, positions, cosines, sines, 3, 2, 8, 8, 16, -1)
        for (found, expected) in zip(x.values, original) { #expect(abs(found - expected) < 1e-6) }
    }

    @Test("non-finite numbers are counted")
    func nonfinite() {
        #expect(ck_count_nonfinite([1, .nan, .infinity, -.infinity, 0], 5) == 3)
    }
}
