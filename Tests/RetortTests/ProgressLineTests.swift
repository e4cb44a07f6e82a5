import Testing

@testable import retort

@Suite("Progress")
struct ProgressLineTests {
    @Test("shows share, rate and time left")
    func text() {
        let line = ProgressLine.text(
            "extract",
            done: 25_000,
            total: 100_000,
            unit: "tokens",
            seconds: 50,
            detail: "shard 1 of 4",
            hasBar: false
        )
        #expect(
            line == "extract 25%  25.0k of 100.0k tokens  500 tokens/s  2m 30s left  shard 1 of 4"
        )
    }

    @Test("what was there before this run does not count towards its rate")
    func resumed() {
        let line = ProgressLine.text(
            "distill",
            done: 60,
            already: 50,
            total: 100,
            unit: "steps",
            seconds: 5,
            detail: "",
            hasBar: false
        )
        #expect(line == "distill 60%  60 of 100 steps  2 steps/s  20s left")
    }

    @Test("a bar is as long as the share")
    func bar() {
        let line = ProgressLine.text(
            "x",
            done: 1,
            total: 2,
            unit: "u",
            seconds: 1,
            detail: "",
            hasBar: true
        )
        #expect(line.contains("[============            ]"))
    }
}
