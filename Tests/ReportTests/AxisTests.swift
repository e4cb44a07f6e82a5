import Pages
import Testing

@Suite("Axes")
struct AxisTests {
    @Test(
        "have round ticks that can be told apart",
        arguments: [
            (0.0, 7.0), (0.1, 14.2), (0, 1e-4), (-3, 5), (200_000, 205_950), (0, 1_000_000),
            (0.9995, 1.0005),
        ]
    )
    func ticks(low: Double, high: Double) {
        let axis = Axis(low: low, high: high, start: 0, end: 100)
        let ticks = axis.ticks
        #expect((2...8).contains(ticks.count), "\(ticks)")
        #expect(ticks.allSatisfy { $0 >= low - 1e-9 && $0 <= high * (1 + 1e-9) + 1e-9 })
        let labels = ticks.map { axis.label($0) }
        #expect(Set(labels).count == labels.count, "\(labels)")
        for (tick, label) in zip(ticks, labels) {
            #expect(abs((Double(label) ?? .nan) - tick) <= 1e-6 * max(abs(tick), high - low))
        }
    }

    @Test("without a span have one, and end")
    func flat() {
        for value in [0, 1, 1e9, 0x1p50, -5] {
            let axis = Axis(low: value, high: value, start: 0, end: 100)
            #expect(axis.position(value) == 0 && axis.high > axis.low)
            #expect(axis.ticks.count < 21)
        }
    }

    @Test("numbers are as short as they can be")
    func labels() {
        #expect(
            [0, 1, 0.5, 1234, 12.345678, 0.0005, 5e-4, 2e7].map { Axis.label($0) } == [
                "0", "1", "0.5", "1234", "12.35", "5e-4", "5e-4", "2e7",
            ]
        )
        #expect(Axis.label(1e12) == "1e12" && Axis.label(-0.25) == "-0.25")
    }
}
