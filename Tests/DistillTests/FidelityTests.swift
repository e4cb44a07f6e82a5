import CKernels
import Cache
import Foundation
import Tensors
import Testing

@testable import Distill

@Suite("What storage costs")
struct FidelityTests {
    private static let rows = 150
    private static let batchRows = 40

    private struct Measured {
        let report: FidelityReport
        let reference: FidelityReference64
        let rows: FidelityRows

        func figures(_ name: String, _ temperature: Float) throws -> FidelityFigures {
            try #require(report.options.first { $0.name == name }?.at(temperature), "\(name)")
        }
    }

    /// Rounds to bf16 by hand: to nearest, ties to even.
    private static func bf16(_ x: Float) -> Float {
        let bits = x.bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    private static func logits(_ states: [Float], _ head: Matrix, cap: Float?) -> [[Double]] {
        (0..<(states.count / head.columns)).map { row in
            (0..<head.rows).map { token in
                let product = (0..<head.columns).reduce(0.0) {
                    $0 + Double(states[row * head.columns + $1]) * Double(head[token, $1])
                }
                return cap.map { Double($0) * tanh(product / Double($0)) } ?? product
            }
        }
    }

    private func measure(
        cap: Float? = nil,
        reference: FidelityReference = .teacher,
        factor: Float = 1
    ) throws -> Measured {
        let world = try TinyWorld(softCap: cap)
        defer { world.remove() }
        var settings = FidelitySettings()
        settings.batchRows = Self.batchRows
        settings.topK = [4, 16, 1024]
        settings.samples = [32]
        // Chunks of a few rows, which do not divide a batch.
        settings.memoryLimit = 7 * 4 * 257 * 5
        let measure = try CacheFidelity(world.reader, reference: reference, settings: settings)
        var random = RandomNumbers(seed: 8, purpose: "fidelity")
        var rows = FidelityRows()
        rows.keys = (0..<Self.rows).map { .init(id: "r\($0 / 10)", position: $0 % 10) }
        rows.exact = (0..<Self.rows * TinyWorld.width).map { _ in random.normal() * factor }
        rows.stored = rows.exact.map(Self.bf16)
        rows.inBF16 = rows.exact.map { $0 * (1 + 0.01 * random.normal()) }
        var parts = rows
        let first = parts.removeFirst(33, width: TinyWorld.width)
        #expect(try measure.append(first) && measure.append(parts))
        let report = try #require(try measure.finish(split: "held_out", examples: 15))
        let logits = Self.logits(rows.exact, measure.head.weight, cap: cap)
        return Measured(
            report: report,
            reference: FidelityReference64(logits: logits, batchRows: Self.batchRows),
            rows: rows
        )
    }

    private func expect(
        _ value: Double?,
        _ expected: Double,
        within tolerance: Double = 1e-3,
        _ what: String
    ) {
        let isNear = value.map { abs($0 - expected) <= tolerance * abs(expected) + 1e-8 } ?? false
        #expect(isNear, "\(what): \(String(describing: value)), expected \(expected)")
    }

    private func expectGradients(
        _ figures: FidelityFigures,
        _ expected: [Double],
        within tolerance: Double = 1e-3,
        _ what: String
    ) {
        expect(figures.gradientToken, expected[0], within: tolerance, "\(what), token")
        expect(figures.gradientBatch, expected[1], within: tolerance, "\(what), batch")
        expect(figures.gradientAll, expected[2], within: tolerance, "\(what), all")
    }

    @Test("hidden states in bf16 are those of a slow float64 computation", arguments: [nil, 2])
    func hidden(cap: Float?) throws {
        let made = try measure(cap: cap)
        let world = try TinyWorld(softCap: cap)
        defer { world.remove() }
        let head = try CachedTeacher(world.reader, compute: .f32).head.weight
        let rounded = Self.logits(made.rows.exact.map(Self.bf16), head, cap: cap)
        let reference = made.reference
        for temperature in [1.0, 2.0] {
            func q(_ row: Int) -> [Double] {
                FidelityReference64.softmax(rounded[row], temperature)
            }
            let kl = reference.mean(temperature) { row, p, _ in
                FidelityReference64.kl(p, q(row))
            }
            let variation = reference.mean(temperature) { row, p, _ in
                zip(p, q(row)).reduce(0) { $0 + abs($1.0 - $1.1) } / 2
            }
            let gradients = reference.gradients(temperature) { row, _, _ in q(row) }
            for name in ["hidden bf16", "this cache (hidden bf16)"] {
                let figures = try made.figures(name, Float(temperature))
                expect(figures.kl, kl, name)
                expect(figures.totalVariation, variation, name)
                expectGradients(figures, gradients, name)
                #expect(figures.keptMass == nil && figures.klCoarse == nil)
            }
        }
        #expect(try made.figures("hidden f32", 1).kl == 0)
        #expect(try made.figures("hidden int8", 1).kl ?? 1 < 0.02)
        let order = made.report.options.compactMap(\.bytesPerRow)
        #expect(order == order.sorted())
        if ComputeType.hasBF16 {
            let limit = try #require(made.report.yardstick?.at(1)?.kl)
            let below = made.report.belowYardstick(\.kl, temperature: 1).map(\.name)
            #expect(limit > kl16(made) && below.contains("hidden bf16"))
            #expect(!below.contains("top-4, ghost") && !below.contains("top-4, renormalised"))
        }
    }

    private func kl16(_ made: Measured) -> Double {
        (try? made.figures("hidden bf16", 1).kl) ?? .infinity
    }

    @Test("top-k with a ghost and renormalised", arguments: [4, 16], [1.0, 2.0])
    func topK(k: Int, temperature: Double) throws {
        let made = try measure()
        let reference = made.reference
        func logs(_ row: Int) -> [Double] {
            let all = reference.logProbabilities(row)
            return reference.top(row, k).map { Double(Float16(all[$0])) }
        }
        func mass(_ row: Int, _ p: [Double]) -> Double {
            reference.top(row, k).reduce(0) { $0 + p[$1] }
        }
        /// Kept tokens, and the ghost last.
        func ghost(_ row: Int) -> [Double] {
            let logs = logs(row)
            let rest = log(max(1e-7, 1 - logs.reduce(0) { $0 + exp($1) }))
            return FidelityReference64.softmax(logs + [rest], temperature)
        }
        /// s - T g, g from the kernel that `distill` trains with.
        func target(_ row: Int, _ s: [Double]) -> [Double] {
            let logs = logs(row)
            let rest = Float(log(max(1e-7, 1 - logs.reduce(0) { $0 + exp($1) })))
            var settings = ck_criterion_settings()
            settings.p_scale = Float(1 / temperature)
            settings.q_scale = Float(1 / temperature)
            settings.divergence_weight = 1
            var q = reference.logits[row].map { Float($0 / reference.softness) }
            var scratch = [Float](repeating: 0, count: ck_sparse_scratch(k))
            var losses = ck_criterion_losses()
            withUnsafePointer(to: rest) {
                ck_sparse_row(
                    reference.top(row, k).map { UInt32($0) },
                    logs.map { Float($0) },
                    k,
                    $0,
                    &q,
                    q.count,
                    -1,
                    &settings,
                    &scratch,
                    &losses
                )
            }
            return zip(s, q).map { $0 - temperature * Double($1) }
        }
        /// Of all tokens: the mass lies evenly on those not kept before it is tempered.
        func even(_ row: Int) -> [Double] {
            let (logs, kept) = (logs(row), reference.top(row, k))
            let rest = max(1e-7, 1 - logs.reduce(0) { $0 + exp($1) })
            var all = [Double](repeating: log(rest / Double(257 - k)), count: 257)
            for (place, id) in kept.enumerated() { all[id] = logs[place] }
            return FidelityReference64.softmax(all, temperature)
        }
        func coarse(_ row: Int, _ p: [Double]) -> [Double] {
            reference.top(row, k).map { p[$0] } + [1 - mass(row, p)]
        }
        /// What a perfect student has: made coarse at temperature 1.
        func perfect(_ row: Int) -> [Double] {
            let p = FidelityReference64.softmax(reference.logits[row], 1)
            return FidelityReference64.softmax(coarse(row, p).map { log($0) }, temperature)
        }
        func cut(_ row: Int) -> [Double] {
            var result = [Double](repeating: 0, count: 257)
            let q = FidelityReference64.softmax(logs(row), temperature)
            for (place, id) in reference.top(row, k).enumerated() { result[id] = q[place] }
            return result
        }
        let kl = reference.mean(temperature) { row, p, _ in
            FidelityReference64.kl(p, even(row))
        }
        let klCoarse = reference.mean(temperature) { row, _, _ in
            FidelityReference64.kl(perfect(row), ghost(row))
        }
        let variation = reference.mean(temperature) { row, p, _ in
            zip(coarse(row, p), coarse(row, even(row))).reduce(0) { $0 + abs($1.0 - $1.1) } / 2
        }
        let kept = reference.mean(temperature) { row, p, _ in mass(row, p) }
        let figures = try made.figures("top-\(k), ghost", Float(temperature))
        expect(figures.kl, kl, "ghost")
        expect(figures.klCoarse, klCoarse, within: 0.05, "ghost, coarse")
        // Nothing but the rounding of what is stored, at any temperature.
        #expect(figures.klCoarse ?? 1 < 1e-5)
        expect(figures.totalVariation, variation, within: 0.01, "ghost, variation")
        expect(figures.keptMass, kept, "ghost, kept")
        let gradients = reference.gradients(temperature) { row, _, s in target(row, s) }
        expectGradients(figures, gradients, within: 0.01, "ghost")
        let plain = try made.figures("top-\(k), renormalised", Float(temperature))
        let reverse = reference.mean(temperature) { row, p, _ in
            FidelityReference64.kl(cut(row), p)
        }
        #expect(plain.kl == nil)
        expect(plain.klReverse, reverse, "renormalised, reverse")
        expectGradients(plain, reference.gradients(temperature) { row, _, _ in cut(row) }, "cut")
        #expect(made.report.options.first { $0.name == "top-\(k), ghost" }?.sameTop == 1)
    }

    @Test("draws are those that extraction makes, and their figures those of counts / N")
    func sampled() throws {
        let made = try measure()
        let reference = made.reference
        let targets = reference.logits.indices.map { row -> [Double] in
            let p = FidelityReference64.softmax(reference.logits[row], 1)
            let key = made.rows.keys[row]
            var random = RandomNumbers(
                seed: 0,
                purpose: "sampled logits \(key.id)",
                counter: UInt64(key.position)
            )
            var target = [Double](repeating: 0, count: p.count)
            for _ in 0..<32 {
                let u = Double(random.next() >> 11) * 0x1p-53
                var reached = 0.0
                let id = p.firstIndex {
                    reached += $0
                    return reached > u
                }
                target[id ?? p.count - 1] += 1 / 32.0
            }
            return target
        }
        let figures = try made.figures("sampled, 32 draws", 1)
        let variation = reference.mean(1) { row, p, _ in
            zip(p, targets[row]).reduce(0) { $0 + abs($1.0 - $1.1) } / 2
        }
        expect(figures.totalVariation, variation, "variation")
        let reverse = reference.mean(1) { row, p, _ in FidelityReference64.kl(targets[row], p) }
        expect(figures.klReverse, reverse, "reverse")
        expectGradients(figures, reference.gradients(1) { row, _, _ in targets[row] }, "sampled")
        #expect(figures.kl == nil)
        #expect(made.report.options.first { $0.name == "sampled, 32 draws" }?.figures.count == 1)
    }

    @Test("full logits in f16 and bf16 are log-probabilities, rounded")
    func full() throws {
        let made = try measure()
        let reference = made.reference
        for (name, tolerance) in [("f16", 0.02), ("bf16", 0.02)] {
            let logs = reference.logits.indices.map { row in
                reference.logProbabilities(row).map {
                    name == "f16" ? Double(Float16($0)) : Double(Self.bf16(Float($0)))
                }
            }
            let kl = reference.mean(2) { row, p, _ in
                FidelityReference64.kl(p, FidelityReference64.softmax(logs[row], 2))
            }
            expect(
                try made.figures("full logits \(name)", 2).kl,
                kl,
                within: tolerance,
                name
            )
        }
    }

    @Test("what the cache's own type cannot tell has no figures, and says how to get them")
    func unmeasurable() throws {
        let made = try measure(reference: .cache(.bf16))
        for name in ["hidden f32", "hidden f16", "hidden bf16"] {
            let option = try #require(made.report.options.first { $0.name == name })
            #expect(option.figures.isEmpty && option.note?.contains("--teacher") == true)
            #expect((option.bytesPerRow != nil) == (name == "hidden bf16"))
        }
        #expect(made.report.yardstick == nil)
        #expect(!made.report.options.contains { $0.name.hasPrefix("top-1024") })
        #expect(made.report.table.contains("yardstick: not measured"))
        #expect(made.report.table.split(separator: "\n").allSatisfy { $0.count < 125 })
        let data = try JSONEncoder().encode(made.report)
        #expect(try JSONDecoder().decode(FidelityReport.self, from: data) == made.report)
    }

    @Test("states beyond f16 are no reason to fail")
    func large() throws {
        let made = try measure(factor: 1e5)
        let option = try #require(made.report.options.first { $0.name == "hidden f16" })
        #expect(option.figures.isEmpty && option.note?.contains("too large") == true)
        #expect(try made.figures("hidden int8", 1).kl?.isFinite == true)
        #expect(try JSONEncoder().encode(made.report).count > 100)
    }

    @Test("a stop ends it between chunks")
    func stop() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let measure = try CacheFidelity(world.reader, reference: .cache(.bf16))
        let states = [Float](repeating: 1, count: TinyWorld.width)
        let rows = FidelityRows(keys: [.init(id: "a", position: 0)], exact: states)
        #expect(try measure.append(rows))
        #expect(try measure.finish(split: "", examples: 1, shouldStop: { true }) == nil)
    }

    @Test("the distance kernel keeps the digits of a tiny divergence, and of a huge one")
    func kernel() {
        var random = RandomNumbers(seed: 1, purpose: "kernel")
        let z = (0..<3000).map { _ in random.normal() * 4 }
        for noise in [Float(1e-4), 0.3, 8, 300] {
            let y = z.map { $0 + noise * random.normal() }
            var (p, d) = (z, z)
            let logZ = ck_softmax_of(z, &p, z.count, 1)
            var sums = ck_distances()
            let logY = ck_log_partition(y, y.count, 1)
            ck_distances_row(z, logZ, y, logY, 1, p, &d, z.count, &sums)
            let exact = FidelityReference64.softmax(z.map { Double($0) }, 1)
            let top = Double(y.max() ?? 0)
            let whole = top + log(y.reduce(0) { $0 + exp(Double($1) - top) })
            var (kl, squares) = (0.0, 0.0)
            for (id, p) in exact.enumerated() {
                kl += p * (log(p) - (Double(y[id]) - whole))
                let gap = exp(Double(y[id]) - whole) - p
                squares += gap * gap
            }
            expect(sums.kl, kl, within: 1e-3, "kl at \(noise)")
            expect(sums.squares, squares, within: 1e-3, "squares at \(noise)")
        }
    }
}
