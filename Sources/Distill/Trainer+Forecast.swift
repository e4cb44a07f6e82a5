import Cache
import Foundation
import Models
import Ranks
import Tensors

/// What a run will take, told before it starts.
extension Trainer {
    /// The forecast for this run.
    public func forecast() -> TrainingForecast {
        let sizes = TrainingSizes(
            settings: settings,
            reading: reading,
            model: training.model,
            trained: training.optimizer.slots.reduce(0) { $0 + $1.parameter.value.count },
            epoch: epoch,
            steps: totalSteps,
            ranks: (ranks.count, ranks.localCount)
        )
        return TrainingForecast(
            steps: totalSteps,
            tokens: sizes.tokens,
            memory: sizes.memory,
            machineMemory: MachineMemory.all,
            disk: sizes.disk,
            diskInUse: ["checkpoints", "student"].reduce(0) {
                $0 + MachineFigures.size(of: output.appendingPathComponent($1))
            },
            diskFree: MachineFigures.freeSpace(at: output)
        )
    }

    /// What of the teacher the criterion reads, such as `final hidden states`.
    public var signals: [String] {
        let all: [(Bool, String)] = [
            (reading.hidden, "final hidden states"),
            (
                !reading.teacherLayers.isEmpty,
                "hidden states of layers "
                    + reading.teacherLayers.map(String.init).joined(separator: ", ")
            ),
            (reading.head, "the head"), (reading.embedding, "rows of the embedding"),
            (reading.texts, "token texts"),
            (reading.stored != nil, "\(reading.stored?.rawValue ?? "") distributions"),
        ]
        return all.filter(\.0).map(\.1)
    }

    /// The projectors' weights with their shapes, such as `t2s.weight [512, 896]`.
    public var projectors: [String] {
        training.criterion.projectors.flatMap(\.parameters).filter { $0.shape.count > 1 }
            .map { "\($0.name) \($0.shape)" }
    }

    /// Whether a run's directory has a checkpoint to go on from.
    public static func hasCheckpoint(in output: URL) -> Bool {
        !TrainingCheckpoint.names(in: output.appendingPathComponent(checkpointDirectory)).isEmpty
    }

    /// Refuses a file that the cache was not made from.
    ///
    /// - Throws: `DistillError.otherDataset`, and `CacheError` where the file cannot be read.
    static func requireDataset(_ settings: DistillSettings, _ cached: CacheDescription) throws {
        guard let dataset = settings.dataset else { return }
        let found = try sha256(of: URL(fileURLWithPath: dataset))
        guard found != cached.dataset.sha256 else { return }
        throw DistillError.otherDataset(
            path: dataset,
            found: found,
            cache: settings.cache,
            name: cached.dataset.name,
            wanted: cached.dataset.sha256
        )
    }
}
