import Distill
import Foundation
import Models
import Ranks

/// What a run would do, for `distill --dry-run`.
struct DistillPlan: Codable {
    /// Something that takes space.
    struct Part: Codable {
        let name: String
        let bytes: Int
    }

    let criterion: String
    let steps: Int
    let cache: String, student: String, output: String
    /// `fresh`, `unfinished` with the step that the run goes on from, or `finished`.
    let state: String
    let step: Int?
    let signals: [String], projectors: [String]
    let tokens: Int
    let memory: [Part], disk: [Part]
    let machineMemory: Int
    let diskFree: Int?
    private let stepInWords: String

    enum CodingKeys: String, CodingKey {
        case criterion, steps, cache, student, output, state, step, signals, projectors, tokens,
            memory
        case disk
        case machineMemory = "machine_memory"
        case diskFree = "disk_free"
        case stepInWords = "step_takes"
    }

    /// - Throws: What a run would be refused for.
    init(_ settings: DistillSettings, _ ranks: any Communicator) throws {
        try DistillStage.requireFree(settings.output)
        let trainer = try DistillStage.trainer(settings, ranks)
        let forecast = trainer.forecast()
        let found = try trainer.outputState()
        (criterion, steps) = (settings.criterion, trainer.totalSteps)
        (cache, student, output) = (settings.cache, settings.student.from, settings.output)
        (signals, projectors, tokens) = (trainer.signals, trainer.projectors, forecast.tokens)
        memory = forecast.memory.map { Part(name: $0.name, bytes: $0.bytes) }
        disk = forecast.disk.map { Part(name: $0.name, bytes: $0.bytes) }
        (machineMemory, diskFree) = (forecast.machineMemory, forecast.diskFree)
        stepInWords = settings.stepInWords
        switch found {
        case .fresh: (state, step) = ("fresh", nil)
        case .unfinished(let last): (state, step) = ("unfinished", last)
        case .finished: (state, step) = ("finished", nil)
        }
    }

    /// For a person.
    var text: String {
        func list(_ words: [String]) -> String {
            words.isEmpty ? "none" : words.joined(separator: ", ")
        }
        let there =
            switch state {
            case "finished": "  (finished: nothing to do)"
            case "unfinished": "  (goes on from step \(step ?? 0))"
            default: ""
            }
        return """
            distill: \(criterion), \(steps) steps of \(stepInWords)
              cache       \(cache)
              student     \(student)
              output      \(output)\(there)
              signals     \(list(signals))
              projectors  \(list(projectors))
              tokens      about \(ProgressLine.count(Double(tokens)))
              memory      about \(Self.space(memory)); this machine has \
            \(ProgressLine.bytes(machineMemory))
              disk        up to \(Self.space(disk)); free: \
            \(diskFree.map(ProgressLine.bytes) ?? "unknown")
            """
    }

    /// Space and what takes it, such as `3.0 MiB (weights 2.0 MiB, logits 1.0 MiB)`.
    private static func space(_ parts: [Part]) -> String {
        let words = parts.filter { $0.bytes > 0 }
            .map { "\($0.name) \(ProgressLine.bytes($0.bytes))" }
        return "\(ProgressLine.bytes(parts.reduce(0) { $0 + $1.bytes })) "
            + "(\(words.joined(separator: ", ")))"
    }
}
