import Testing

@testable import Scores

@Suite("Intervals")
struct BootstrapTests {
    @Test("the interval of a mean is that of the normal distribution, for many examples")
    func mean() throws {
        // 400 of 1,000 are right: a deviation of sqrt(0.4 x 0.6 / 1,000) = 0.0155.
        let shares = (0..<1_000).map { Share($0 % 5 < 2 ? 1 : 0) }
        let estimate = try #require(Bootstrap().estimate(shares))
        #expect(estimate.mean == 0.4)
        #expect(abs(estimate.low - (0.4 - 1.96 * 0.01549)) < 0.003)
        #expect(abs(estimate.high - (0.4 + 1.96 * 0.01549)) < 0.003)
        #expect(Bootstrap().estimate(shares) == estimate)
        #expect(Bootstrap(seed: 2).estimate(shares) != estimate)
    }

    @Test("sums are divided by weights, example by example")
    func ratio() throws {
        // Every example loses 2 a token: however they are drawn, so does the mean.
        let same = (1...50).map { Share(2 * Double($0), weight: Double($0)) }
        let estimate = try #require(Bootstrap().estimate(same))
        #expect(estimate == Estimate(mean: 2, low: 2, high: 2))
        let two = [Share(10, weight: 1), Share(0, weight: 9)]
        #expect(try #require(Bootstrap().estimate(two)).mean == 1)
    }

    @Test("two models of the same examples differ by less than either varies")
    func difference() throws {
        let shares = (0..<200).map { Share(Double($0 % 7)) }
        let better = shares.map { Share($0.sum + 0.1) }
        let one = try #require(Bootstrap().estimate(shares))
        let both = try #require(Bootstrap().difference(better, from: shares))
        #expect(one.high - one.low > 0.4)
        #expect(abs(both.low - 0.1) < 1e-9 && abs(both.high - 0.1) < 1e-9)
    }

    @Test("nothing has no mean; one example has one")
    func few() {
        #expect(Bootstrap().estimate([]) == nil)
        #expect(Bootstrap().estimate([Share(1, weight: 0)]) == nil)
        #expect(Bootstrap().estimate([Share(3)]) == Estimate(mean: 3, low: 3, high: 3))
        #expect(Bootstrap().difference([Share(1)], from: []) == nil)
        // Draws without a weight are no draws.
        #expect(
            Bootstrap().estimate([Share(2), Share(0, weight: 0)])
                == Estimate(mean: 2, low: 2, high: 2)
        )
    }
}
