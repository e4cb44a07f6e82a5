import CKernels
import Cache
import Foundation
import Models
import Ranks
import Tensors

/// What the ranks of a run agree on.
extension Trainer {
    /// Where a run begins.
    enum Start {
        /// It is finished already.
        case finished(steps: Int)
        case from(TrainingCheckpoint.State)
    }

    /// Rank 0 looks at what lies in the output directory; the others begin where it does.
    ///
    /// - Throws: `DistillError`.
    func agreeOnStart(_ notice: (TrainingNotice) -> Void) throws -> Start {
        try requireSame(
            "settings or files",
            RunFiles.json(settings) + RunFiles.json(fingerprint) + Data(reader.contentSHA256.utf8),
            step: 0
        )
        let start = try ranks.isFirst ? firstStart(notice) : .from(fresh)
        // Below 0: finished.
        let told: Double =
            switch start {
            case .finished(let steps): -1 - Double(steps)
            case .from(let state): Double(state.step)
            }
        let step = Int(ranks.first(told))
        if step < 0 { return .finished(steps: -1 - step) }
        guard case .from(let own) = start else { return start }
        let state =
            ranks.isFirst || step == 0
            ? own : try restore(TrainingCheckpoint.name(ofStep: step))
        if ranks.count > 1 && step == 0 { takeFirstProjectors() }
        try requireSameWeights(step: step)
        return .from(state)
    }

    /// Rank 0's projectors, everywhere: those that are solved for differ in their last bits between ranks
    /// of different numbers of threads.
    private func takeFirstProjectors() {
        for parameter in training.criterion.projectors.flatMap(\.parameters) {
            let value = parameter.value
            if !ranks.isFirst { value.fill(0) }
            ranks.beginSum(UnsafeMutableBufferPointer(start: value.base, count: value.count)).wait()
        }
    }

    private func firstStart(_ notice: (TrainingNotice) -> Void) throws -> Start {
        try requireOwnOutput()
        try RunFiles.makeDirectory(output)
        if let done = DoneRecord.read(output) {
            try requireThisRun(settings: done.settings, cache: done.cache, at: output)
            if done.isWhole(in: output) {
                notice(.finishedBefore)
                return .finished(steps: done.steps)
            }
        }
        return .from(try resume(notice))
    }

    /// Stops a run whose ranks have drifted apart: what they would train from here is no one student.
    ///
    /// - Throws: `DistillError.ranksDiffer`.
    func requireSameWeights(step: Int) throws {
        guard ranks.count > 1 else { return }
        var sum: UInt32 = 0
        for slot in training.optimizer.slots {
            let value = slot.parameter.value
            value.base.withMemoryRebound(to: UInt8.self, capacity: 4 * value.count) {
                sum = ck_crc32c(sum, $0, 4 * value.count)
            }
        }
        try requireSame("weights", withUnsafeBytes(of: sum) { Data($0) }, step: step)
    }

    private func requireSame(_ what: String, _ own: Data, step: Int) throws {
        let all = ranks.gather(Array(own))
        let others = all.indices.filter { all[$0] != all[0] }
        guard others.isEmpty else {
            throw DistillError.ranksDiffer(what: what, step: step, ranks: others)
        }
    }
}
