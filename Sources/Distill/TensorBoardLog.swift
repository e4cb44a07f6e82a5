import Foundation

/// The figures of `metrics.jsonl` as TensorBoard reads them: `tensorboard/events.out.tfevents.0.retort`.
///
/// After a resume the file is written anew without the steps that will be done again, so that each is there
/// once; a TensorBoard that is running then has to be started again.
final class TensorBoardLog {
    private let records: AppendedFile

    static let file = "tensorboard/events.out.tfevents.0.retort"

    /// Keeps the records of steps up to `step`.
    ///
    /// - Parameter directory: The run's.
    /// - Throws: `DistillError.file`.
    init(_ directory: URL, keepingSteps step: Int, now: Double = Date().timeIntervalSince1970)
        throws
    {
        let url = directory.appendingPathComponent(Self.file)
        try RunFiles.makeDirectory(url.deletingLastPathComponent())
        // The first is the version's; a file that begins otherwise is not ours.
        let old = EventRecord.records(in: (try? Data(contentsOf: url)) ?? Data()).dropFirst()
        let kept = old.filter { $0.step <= step }.map(\.bytes)
        records = try AppendedFile(
            url,
            keeping: kept.reduce(into: EventRecord.first(at: now).data) { $0 += $1 }
        )
    }

    /// - Throws: `DistillError.file`.
    func append(_ metrics: TrainingMetrics, now: Double = Date().timeIntervalSince1970) throws {
        let record = EventRecord(time: now, step: metrics.step, scalars: Self.scalars(metrics))
        try records.append(record.data)
    }

    /// The figures by name, in the order of their names within each group.
    static func scalars(_ metrics: TrainingMetrics) -> [EventRecord.Scalar] {
        func group(_ name: String, _ values: [String: Double]) -> [(String, Double)] {
            values.sorted { $0.key < $1.key }.map { ("\(name)/\($0.key)", $0.value) }
        }
        let single: [(String, Double?)] = [
            ("learning_rate", metrics.learningRate), ("gradient_norm", metrics.gradientNorm),
            ("tokens_per_second", metrics.tokensPerSecond), ("share_of_peak", metrics.shareOfPeak),
            ("seconds", metrics.seconds), ("data_seconds", metrics.dataSeconds),
            ("memory_mib", metrics.memoryMiB),
        ]
        let all =
            group("train", metrics.losses) + group("held_out", metrics.heldOut ?? [:])
            + single.compactMap { name, value in value.map { (name, $0) } }
        return all.map { EventRecord.Scalar(tag: $0, value: Float($1)) }
    }
}
