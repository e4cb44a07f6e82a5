import Cache
import Foundation
import Models
import Tensors

/// What a run will take, as far as that can be told before it: roughly for memory, closely for disk.
public struct TrainingForecast: Sendable, Equatable {
    /// Something that takes space.
    public struct Part: Sendable, Equatable {
        /// In words.
        public var name: String
        /// In bytes.
        public var bytes: Int
    }

    /// Steps, and tokens of the cache that they go over, repeated ones counted again.
    public var steps: Int
    /// See `steps`.
    public var tokens: Int
    /// What is in memory at the same time, and what the machine, or this process's control group, has.
    public var memory: [Part]
    /// See `memory`.
    public var machineMemory: Int
    /// What is on the disk at the same time at most; what lies there of it already; and what is free.
    public var disk: [Part]
    /// See `disk`.
    public var diskInUse: Int
    /// Nil where the system does not say.
    public var diskFree: Int?

    /// Bytes of all parts.
    public static func sum(_ parts: [Part]) -> Int { parts.reduce(0) { $0 + $1.bytes } }

    /// - Parameter path: The run's directory.
    /// - Throws: `DistillError.noSpace`.
    func requireDisk(_ path: String) throws {
        let needed = max(0, Self.sum(disk) - diskInUse)
        guard let diskFree, needed > diskFree else { return }
        throw DistillError.noSpace(
            path: path,
            needed: needed,
            free: diskFree,
            parts: Self.words(disk)
        )
    }

    /// Parts as a list in one line; those that take nothing are left out.
    static func words(_ parts: [Part]) -> String {
        parts.filter { $0.bytes > 0 }.map { "\($0.name) \(byteWords($0.bytes))" }
            .joined(separator: ", ")
    }
}

/// Bytes in the unit that suits them, such as `1.50 GiB`.
package func byteWords(_ count: Int) -> String {
    let value = Double(count)
    if value >= 0x1p30 { return String(format: "%.2f GiB", value / 0x1p30) }
    if value >= 0x1p20 { return String(format: "%.1f MiB", value / 0x1p20) }
    return String(format: "%.1f KiB", value / 1024)
}

/// The sizes that decide what a run takes.
struct TrainingSizes {
    static let floatBytes = MemoryLayout<Float>.stride
    /// What a process of ours has in memory before it has read anything.
    static let programBytes = 64 << 20

    let settings: DistillSettings
    let reading: TeacherReading
    let model: any LanguageModel
    /// Numbers that are trained: the student's or its factors', and the projectors'.
    let trained: Int
    let epoch: CacheStream.EpochSize
    let steps: Int
    /// Ranks of the run, and those on this machine.
    var ranks: (all: Int, local: Int) = (1, 1)

    /// Tokens of the longest pass: the student's are taken to be about as many as the teacher's.
    private var longest: Int {
        min(epoch.longest, max(settings.passTokens, settings.maxLength))
    }

    /// The student's numbers, and those of them that are not trained.
    private var weights: Int { model.parameters.reduce(0) { $0 + $1.value.count } }
    private var frozen: Int { settings.lora == nil ? 0 : weights }

    /// Tokens of the cache that all steps go over.
    var tokens: Int {
        let batches = Double(steps) * Double(settings.accumulate)
        // No run is longer than an Int can say; a setting may be.
        return Int(min(9e18, Double(epoch.tokens) * batches / Double(max(1, epoch.batches))))
    }

    /// What is in memory at the same time.
    var memory: [TrainingForecast.Part] {
        let bytes = Self.floatBytes
        let teacherHead = reading.head ? reading.vocabulary * reading.hiddenSize : 0
        // One copy of every matrix for each direction, two bytes a number.
        let packed = settings.compute.available == .bf16 ? bytes * (weights + teacherHead) : 0
        let model = model.configuration
        let embedding = reading.embedding ? teacherHead : 0
        let widest = max(model.vocabularySize, reading.head ? reading.vocabulary : 0)
        let row = bytes * (reading.hidden ? reading.hiddenSize : 1)
        // What each block keeps of a token for the way back: the stream before both layers, queries, keys,
        // values, what attention makes of them, and what goes into the activation. One block has as much
        // again in passing.
        let heads = model.headSize * 2 * (model.headCount + model.keyValueHeadCount)
        let kept = 2 * model.hiddenSize + heads + 2 * model.intermediateSize
        let blocks =
            settings.gradientCheckpointing
            ? model.layerCount * model.hiddenSize + kept : model.layerCount * kept
        let parts: [TrainingForecast.Part] = [
            .init(name: "the program and its libraries", bytes: Self.programBytes),
            .init(
                name: "weights, gradients and moments",
                bytes: bytes * (frozen + 4 * trained)
            ),
            .init(name: "average of the weights", bytes: settings.ema > 0 ? bytes * trained : 0),
            .init(
                name: "the teacher's head, and packed weights",
                bytes: bytes * (teacherHead + embedding) + packed
            ),
            .init(
                name: "logits",
                bytes: min(settings.headMemoryMiB << 20, bytes * longest * widest)
            ),
            .init(
                name: "examples read ahead",
                bytes: min(settings.loaderMemoryMiB << 20, epoch.tokens * row)
            ),
            .init(
                name: "activations of \(longest) tokens",
                bytes: bytes * longest * (blocks + kept + 8 * model.hiddenSize)
            ),
            .init(name: "gradients under way", bytes: ranks.all > 1 ? bytes * trained : 0),
        ]
        guard ranks.local > 1 else { return parts }
        return parts.map {
            .init(name: "\(ranks.local) x \($0.name)", bytes: ranks.local * $0.bytes)
        }
    }

    /// Refuses a student that the machine has no memory for, before its moments are made.
    ///
    /// - Throws: `DistillError.noMemory`.
    func requireMemory(_ machine: Int) throws {
        let parts = memory
        let needed = TrainingForecast.sum(parts)
        guard needed > machine else { return }
        throw DistillError.noMemory(
            needed: needed,
            has: machine,
            parts: TrainingForecast.words(parts)
        )
    }

    /// What is on the disk at the same time at most: a checkpoint or a best student more than are kept,
    /// for the new one is whole before an old one goes.
    var disk: [TrainingForecast.Part] {
        // With the projectors, and the factors, beside it.
        let student = Self.floatBytes * (frozen + trained)
        let checkpoint = (settings.ema > 0 ? 4 : 3) * Self.floatBytes * trained
        let every = settings.checkpointEvery
        // One comes at the end, whatever the number.
        let checkpoints =
            every > 0 ? min(settings.keepCheckpoints + 1, (steps + every - 1) / every) : 1
        let evaluations = 1 + (settings.evalEvery > 0 ? (steps - 1) / settings.evalEvery : 0)
        let best = settings.keepBest > 0 ? min(settings.keepBest + 1, evaluations) : 0
        return [
            .init(name: "\(checkpoints) checkpoints", bytes: checkpoints * checkpoint),
            .init(name: "\(best) best students", bytes: best * student),
            .init(name: "the student", bytes: student),
        ]
    }
}
