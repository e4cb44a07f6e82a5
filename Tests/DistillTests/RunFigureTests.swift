import Cache
import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("What a run says of itself")
struct RunFigureTests {
    private func lines(_ settings: DistillSettings) throws -> [TrainingMetrics] {
        let url = URL(fileURLWithPath: settings.output).appendingPathComponent("metrics.jsonl")
        return try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(TrainingMetrics.self, from: Data($0))
        }
    }

    @Test("every step has its time, speed and memory")
    func figures() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = world.settings("run")
        _ = try world.trainer(run).run()
        for metrics in try lines(run) {
            let (seconds, data) = (try #require(metrics.seconds), try #require(metrics.dataSeconds))
            #expect(data > 0 && data < seconds)
            #expect(
                abs(metrics.tokensPerSecond * seconds / Double(metrics.tokens) - 1) < 1e-9
            )
            #expect(try #require(metrics.memoryMiB) > 1)
            #expect((1e-9..<1).contains(try #require(metrics.shareOfPeak)))
        }
    }

    @Test("operations are those of the products, counted by hand")
    func operations() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let trainer = try world.trainer(world.settings("run"))
        let batches = try trainer.stream("train").batches(epoch: 0)
        let batch = try trainer.makeBatch(try #require(try batches.next()).records)
        // One GPT-2 block of width 8: attention 3 x 8 x 8 and 8 x 8, feed-forward 2 x 8 x 32.
        let lengths = zip(batch.sequences.offsets, batch.sequences.offsets.dropFirst())
            .map { Double($1 - $0) }
        let tokens = lengths.reduce(0, +)
        let body = 6 * Double(4 * 64 + 2 * 8 * 32) * tokens
        let attention = 6 * 8 * lengths.reduce(0) { $0 + $1 * $1 }
        let vocabulary = Double(trainer.training.model.outputHead.value.rows)
        let head = 6 * vocabulary * 8 * Double(batch.rows.count)
        let teacher = 2 * 257 * 12 * Double(batch.teacher.count)
        #expect(trainer.operations.count([batch]) == body + attention + head + teacher)
        #expect(
            trainer.operations.count([batch, batch]) == 2 * (body + attention + head + teacher)
        )
    }

    @Test("run.json says what went in, and where each start ran")
    func record() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = world.settings("run")
        let url = URL(fileURLWithPath: run.output).appendingPathComponent(RunRecord.file)
        func record() throws -> RunRecord {
            try JSONDecoder().decode(RunRecord.self, from: Data(contentsOf: url))
        }
        _ = try world.trainer(run).run(version: "1.2", shouldStop: { true })
        let first = try record()
        #expect(first.inputs.cache == world.reader.contentSHA256)
        #expect(first.inputs.teacher == String(repeating: "0", count: 64))
        #expect(first.inputs.student.count == 64 && !first.inputs.tokenizer.isEmpty)
        _ = try world.trainer(run).run(version: "1.3")
        let both = try record()
        #expect(both.inputs == first.inputs && both.starts.map(\.step) == [0, 1])
        #expect(both.starts.map(\.retort) == ["1.2", "1.3"])
        let start = try #require(both.starts.last)
        #expect(start.threads == Threads.count && start.memoryMiB > 16)
        #expect(!start.system.isEmpty && !start.processor.isEmpty && start.compute == "f32")
        let libraries = try #require(start.libraries)
        #expect(libraries.count == 2 && libraries[0].hasPrefix("OpenBLAS"))
        #expect(libraries[1].contains(/oneDNN [0-9]+\.[0-9]+\.[0-9]+ isa/))
        // Nothing ran: nothing is added.
        _ = try world.trainer(run).run()
        #expect(try record() == both)
    }
}
