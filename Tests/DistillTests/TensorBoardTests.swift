import Foundation
import Testing

@testable import Distill

@Suite("TensorBoard's files")
struct TensorBoardTests {
    @Test("events are the bytes that TensorBoard's own writer makes of them")
    func golden() throws {
        let url = try #require(
            Bundle.module.url(
                forResource: "events",
                withExtension: "tfevents",
                subdirectory: "Fixtures/tensorboard"
            )
        )
        let events = [
            EventRecord.first(at: 1_700_000_000.25),
            EventRecord(
                time: 1_700_000_001.5,
                step: 1,
                scalars: [.init(tag: "train/ce", value: 4.25), .init(tag: "clip", value: -0.1)]
            ),
            EventRecord(
                time: 1_700_000_002,
                step: 300_000,
                scalars: [.init(tag: String(repeating: "lang/", count: 40), value: 1e-30)]
            ),
        ]
        let want = try Data(contentsOf: url)
        #expect(events.reduce(into: Data()) { $0 += $1.data } == want)
        let found = EventRecord.records(in: want)
        #expect(found.map(\.step) == [0, 1, 300_000])
        #expect(found.reduce(into: Data()) { $0 += $1.bytes } == want)
        // What follows a damaged record is not read; nor is one that is cut short.
        for index in [0, 9, 30, want.count - 1] {
            var damaged = want
            damaged[index] ^= 0x40
            let rest = EventRecord.records(in: damaged)
            #expect(rest.count == (index < 40 ? 0 : 2))
            #expect(EventRecord.records(in: want.prefix(index)).count == (index < 40 ? 0 : 2))
        }
    }

    /// The scalars of each step, read field by field without the code that wrote them.
    private func decode(_ file: Data) throws -> [(step: Int, scalars: [String: Float])] {
        var result: [(step: Int, scalars: [String: Float])] = []
        var at = 0
        let bytes = [UInt8](file)
        func number(_ from: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[from + $1]) << UInt64(8 * $1) }
        }
        func varint(_ at: inout Int) -> Int {
            var (value, shift) = (0, 0)
            while true {
                value |= Int(bytes[at] & 0x7F) << shift
                (shift, at) = (shift + 7, at + 1)
                if bytes[at - 1] < 0x80 { return value }
            }
        }
        while at < bytes.count {
            let end = at + 12 + Int(number(at, 8))
            at += 12
            var (step, scalars) = (0, [String: Float]())
            while at < end {
                let key = bytes[at]
                at += 1
                switch key {
                case 0x09: at += 8
                case 0x10: step = varint(&at)
                case 0x1A:
                    let count = varint(&at)
                    #expect(
                        String(decoding: bytes[at..<at + count], as: UTF8.self) == "brain.Event:2"
                    )
                    at += count
                case 0x2A:
                    let last = varint(&at) + at
                    while at < last {
                        try #require(bytes[at] == 0x0A)
                        at += 1
                        _ = varint(&at)
                        try #require(bytes[at] == 0x0A)
                        at += 1
                        let count = varint(&at)
                        let tag = String(decoding: bytes[at..<at + count], as: UTF8.self)
                        at += count
                        try #require(bytes[at] == 0x15)
                        scalars[tag] = Float(bitPattern: UInt32(number(at + 1, 4)))
                        at += 5
                    }
                default: throw CocoaError(.fileReadCorruptFile)
                }
            }
            result.append((step, scalars))
            at = end + 4
        }
        return result
    }

    @Test("a resumed run has each step once, with the figures of metrics.jsonl")
    func resumed() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = world.settings("run")
        (run.steps, run.evalEvery, run.checkpointEvery) = (5, 2, 2)
        var step = 0
        _ = try world.trainer(run).run(shouldStop: { step == 4 }, progress: { step = $0.step })
        let output = URL(fileURLWithPath: run.output)
        let file = output.appendingPathComponent(TensorBoardLog.file)
        try FileManager.default.removeItem(
            at: output.appendingPathComponent("checkpoints/step-000004")
        )
        // As a full disk leaves it.
        try (Data(contentsOf: file).dropLast(3)).write(to: file)
        #expect(try world.trainer(run).run() == .finished(steps: 5))
        let found = try decode(Data(contentsOf: file))
        #expect(found.map(\.step) == [0, 1, 2, 3, 4, 5])
        let log = try Data(contentsOf: output.appendingPathComponent("metrics.jsonl"))
            .split(separator: UInt8(ascii: "\n")).map {
                try JSONDecoder().decode(TrainingMetrics.self, from: Data($0))
            }
        for (metrics, line) in zip(log, found.dropFirst()) {
            var want: [String: Float] = [
                "learning_rate": Float(metrics.learningRate),
                "tokens_per_second": Float(metrics.tokensPerSecond),
            ]
            want["gradient_norm"] = metrics.gradientNorm.map { Float($0) }
            for (name, value) in metrics.losses { want["train/\(name)"] = Float(value) }
            for (name, value) in metrics.heldOut ?? [:] { want["held_out/\(name)"] = Float(value) }
            for (tag, value) in want { #expect(line.scalars[tag] == value, "\(tag)") }
            #expect(line.scalars.keys.contains("held_out/ce") == (metrics.heldOut != nil))
        }

        run.output += "-without"
        run.tensorboard = false
        _ = try world.trainer(run).run()
        #expect(!FileManager.default.fileExists(atPath: run.output + "/tensorboard"))
    }
}
