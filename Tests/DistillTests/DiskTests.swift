import Cache
import Foundation
import Models
import Tensors
import TestSupport
import Testing

@testable import Distill

extension SmallDisk {
    private var filler: URL { url.appendingPathComponent("filler") }
    private static let page = 4096

    /// Takes all the space but `pages`.
    fileprivate func fill(leaving pages: Int) throws {
        let descriptor = open(filler.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let zeros = Data(count: Self.page)
        var size = 0
        while (try? RunFiles.append(zeros, to: descriptor, path: filler.path)) != nil {
            size += Self.page
        }
        try #require(ftruncate(descriptor, off_t(max(0, size - pages * Self.page))) == 0)
    }

    fileprivate func empty() throws { try FileManager.default.removeItem(at: filler) }
}

@Suite("A disk that refuses", .serialized)
struct DiskTests {
    private static let pageBytes = 4096

    private func settings(_ world: TinyWorld, _ output: URL) -> DistillSettings {
        var settings = world.settings()
        settings.output = output.path
        settings.checkpointEvery = 1
        return settings
    }

    private func run(
        _ world: TinyWorld,
        _ settings: DistillSettings,
        stop: Bool = false,
        progress: (TrainingMetrics) -> Void = { _ in }
    ) throws -> TrainingOutcome {
        try world.trainer(settings).run(shouldStop: { stop }, progress: progress)
    }

    @Test(
        "a full disk is named, the earlier checkpoint stays, and the run goes on with more space",
        .enabled(if: SmallDisk.isAvailable),
        arguments: [0, 1, 3, 6, 10]
    )
    func fullDisk(pages: Int) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, world.directory.appendingPathComponent("straight"))
        #expect(try run(world, straight) == .finished(steps: 3))
        let disk = try #require(SmallDisk(kibibytes: 1024))
        let cut = settings(world, disk.url.appendingPathComponent("run"))
        #expect(try run(world, cut, stop: true) == .stopped(step: 1))
        let checkpoints = URL(fileURLWithPath: cut.output).appendingPathComponent("checkpoints")
        let before = try FileManager.default.subpathsOfDirectory(atPath: checkpoints.path)

        // Somebody else fills the disk while the run is under way.
        let error = try #require(throws: DistillError.self) {
            try run(world, cut, progress: { _ in try? disk.fill(leaving: pages) })
        }
        guard case .file(let path, let reason) = error else {
            Issue.record("\(error)")
            return
        }
        // With a little space, the small files fit and the checkpoint does not.
        #expect(path.hasPrefix(pages < 6 ? cut.output : checkpoints.path))
        #expect(reason.contains("No space left") && reason.contains("run the same command again"))
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: checkpoints.path).sorted()
                == before.sorted()
        )

        try disk.empty()
        #expect(try run(world, cut) == .finished(steps: 3))
        let file = "student/model.safetensors"
        let weights = try [straight, cut].map {
            try Data(contentsOf: URL(fileURLWithPath: $0.output).appendingPathComponent(file))
        }
        #expect(weights[0] == weights[1])
    }

    @Test(
        "a disk without room for what the run will write is refused before its first step",
        .enabled(if: SmallDisk.isAvailable)
    )
    func noSpace() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let disk = try #require(SmallDisk(kibibytes: 1024))
        var run = settings(world, disk.url.appendingPathComponent("run"))
        let forecast = try world.trainer(run).forecast()
        let (needed, free) = (
            TrainingForecast.sum(forecast.disk), try #require(forecast.diskFree)
        )
        // One checkpoint more than are kept, of weights and two moments; and the student.
        let weights = try world.trainer(run).training.optimizer.slots.reduce(0) {
            $0 + 4 * $1.parameter.value.count
        }
        #expect(needed == (3 * 3 + 1) * weights && needed < free && free <= 1 << 20)
        (run.keepBest, run.evalEvery, run.ema) = (1000, 1, 0.5)
        run.steps = 500
        let error = try #require(throws: DistillError.self) {
            try self.run(world, run, progress: { _ in Issue.record("a step was done") })
        }
        let all = (3 * 4 + 500 + 1) * weights
        guard case .noSpace(_, all, let left, _) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(left <= free)
        #expect(error.description.contains("keep_best") && error.description.contains("MiB"))
        // What lies there already counts.
        run = settings(world, disk.url.appendingPathComponent("run"))
        #expect(try self.run(world, run, stop: true) == .stopped(step: 1))
        try disk.fill(leaving: (needed - 3 * weights) / Self.pageBytes + 2)
        var again = try world.trainer(run).forecast()
        #expect(throws: Never.self) { try again.requireDisk(run.output) }
        again.diskInUse = 0
        #expect(throws: DistillError.self) { try again.requireDisk(run.output) }
    }

    @Test("a device that is always full, and a directory in the way, are reported with the path")
    func refused() throws {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let full = try #require(throws: DistillError.self) {
            try RunFiles.append(Data([1, 2, 3]), to: descriptor, path: "run/metrics.jsonl")
        }
        #expect(full.description.hasPrefix("run/metrics.jsonl: cannot be written: No space left"))

        let world = try TinyWorld()
        defer { world.remove() }
        let output = world.directory.appendingPathComponent("blocked")
        try FileManager.default.createDirectory(
            at: output.appendingPathComponent("metrics.jsonl"),
            withIntermediateDirectories: true
        )
        // As a run leaves it that was killed at once.
        try Data("{}".utf8).write(to: output.appendingPathComponent(Trainer.settingsFile))
        let blocked = try #require(throws: DistillError.self) {
            try run(world, settings(world, output))
        }
        #expect(blocked.description.contains("blocked/metrics.jsonl: cannot be written"))
        let names = try FileManager.default.contentsOfDirectory(atPath: output.path)
        #expect(!names.contains { $0.hasSuffix(".tmp") })
    }
}
