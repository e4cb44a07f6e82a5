import CKernels
import Tensors

/// Head products, losses and their gradients in chunks of rows, forward and backward in one pass.
///
/// A chunk's logits are computed, capped where their head caps them, replaced by the gradients of
/// the head's product, and multiplied back; nothing of
/// rows x vocabulary is held beyond one chunk.
public final class HeadLoss {
    /// Bytes that the logits of one chunk may take.
    public let memoryLimit: Int
    /// Kept from call to call: fresh memory would cost a page fault every 4 KiB.
    private var memory = Matrix(uninitialized: 1, 0)

    /// - Parameter memoryLimit: Bytes for one chunk of logits, 64 MiB by default.
    public init(memoryLimit: Int = 64 << 20) {
        self.memoryLimit = memoryLimit
    }

    /// Where the student's distribution is pulled to, in the student's vocabulary.
    struct Target {
        /// (n, k) vectors that `head` multiplies: projected teacher states, or the teacher's own.
        let hidden: Matrix
        /// Its vocabulary is the student's or a prefix of it.
        let head: HeadProduct
        let divergence: Divergence
        /// Of the student's side and of the target's.
        let temperature: Float, targetTemperature: Float
        /// Scales the gradient of the divergence.
        let weight: Float
        /// Whether the divergence counts only where the target's argmax is the label.
        let gated: Bool
        /// Scales the gradient of the target's own cross-entropy; nil where it has none.
        var crossEntropyWeight: Float?
        /// (n, k), receives the gradient of the target's cross-entropy.
        var gradient: Matrix?
    }

    /// Sums over rows.
    struct Sums {
        var crossEntropy = 0.0
        var divergence = 0.0
        var targetCrossEntropy = 0.0
        /// Rows where the target's argmax is the label.
        var targetCorrect = 0.0
        var targetTopProbability = 0.0
        var gateOpen = 0.0
    }

    /// What one row leaves; rows are summed in their order, so threads do not change the sums.
    private struct Row {
        var losses = ck_criterion_losses()
        var targetCrossEntropy = 0.0
        var topProbability: Float = 0
        var correct = false
        var open = false
    }

    /// Losses in the student's vocabulary.
    ///
    /// - Parameters:
    ///   - hidden: (n, d).
    ///   - labels: n tokens of the student.
    ///   - crossEntropyWeight: Scales the gradient of the student's cross-entropy.
    ///   - dHidden: (n, d), overwritten with the gradient; nil for the losses alone.
    func studentSpace(
        hidden: Matrix,
        head: HeadProduct,
        labels: [UInt32],
        crossEntropyWeight: Float,
        target: Target?,
        dHidden: Matrix?
    ) -> Sums {
        let widths = [head.vocabulary] + (target.map { [$0.head.vocabulary] } ?? [])
        var sums = Sums()
        forEachChunk(of: hidden.rows, widths: widths) { range, logits in
            let x = hidden.slice(rows: range)
            head.logits(x, into: logits[0])
            if let target {
                target.head.logits(target.hidden.slice(rows: range), into: logits[1])
            }
            let rows = Self.rows(
                logits: logits,
                head: head,
                labels: labels[range],
                crossEntropyWeight: crossEntropyWeight,
                target: target
            )
            for row in rows {
                sums.crossEntropy += row.losses.cross_entropy
                sums.divergence += row.losses.divergence
                sums.targetCrossEntropy += row.targetCrossEntropy
                sums.targetCorrect += row.correct ? 1 : 0
                sums.targetTopProbability += Double(row.topProbability)
                sums.gateOpen += row.open ? 1 : 0
            }
            guard let dHidden else { return }
            head.inputGradient(logits[0], into: dHidden.slice(rows: range), accumulate: false)
            head.addWeightGradient(logits[0], x)
            if let target, let gradient = target.gradient {
                target.head.inputGradient(
                    logits[1],
                    into: gradient.slice(rows: range),
                    accumulate: false
                )
            }
        }
        return sums
    }

    private static func rows(
        logits: [Matrix],
        head: HeadProduct,
        labels: ArraySlice<UInt32>,
        crossEntropyWeight: Float,
        target: Target?
    ) -> [Row] {
        let student = logits[0]
        let width = student.columns
        let settings =
            target?.divergence.kernelSettings(
                temperature: target?.temperature ?? 1,
                targetTemperature: target?.targetTemperature ?? 1,
                weight: target?.weight ?? 0,
                crossEntropyWeight: crossEntropyWeight
            )
            ?? ck_criterion_settings(
                divergence: 0,
                p_scale: 1,
                q_scale: 1,
                skew: 0.1,
                tail_mass: 0.5,
                divergence_weight: 0,
                cross_entropy_weight: crossEntropyWeight
            )
        var rows = [Row](repeating: Row(), count: student.rows)
        rows.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let rows = buffer
            nonisolated(unsafe) let target = target
            nonisolated(unsafe) let head = head
            parallelRanges(student.rows) { range, _ in
                var settings = settings
                let scratch = Matrix(uninitialized: 1, ck_criterion_scratch(width))
                let heads = [head] + (target.map { [$0.head] } ?? [])
                let caps = CapBackward(width: width, heads: heads)
                for r in range {
                    var row = Row()
                    let label = Int(labels[labels.startIndex + r])
                    var p: UnsafeMutablePointer<Float>?
                    if let target {
                        p = logits[1].row(r)
                        var argmax = 0
                        _ = ck_largest(p, logits[1].columns, &argmax)
                        row.correct = argmax == label
                        row.open = !target.gated || row.correct
                    }
                    caps.replace(student.row(r), of: head) {
                        ck_criterion_row(
                            row.open ? UnsafePointer(p) : nil,
                            row.open ? logits[1].columns : 0,
                            student.row(r),
                            width,
                            Int64(label),
                            &settings,
                            scratch.base,
                            &row.losses
                        )
                    }
                    if let target, let weight = target.crossEntropyWeight, let p {
                        row.targetCrossEntropy = caps.replace(p, of: target.head) {
                            ck_cross_entropy_row(
                                p,
                                width,
                                label,
                                weight,
                                &row.topProbability,
                                nil
                            )
                        }
                    }
                    rows[r] = row
                }
            }
        }
        return rows
    }

    /// The sum over rows of forward KL in the teacher's vocabulary, teacher || projected student.
    ///
    /// - Parameters:
    ///   - teacher: (m, D) hidden states of the teacher.
    ///   - projected: (m, D) states of the student, carried into the teacher's space.
    ///   - head: The teacher's, frozen.
    ///   - weight: Scales the gradient.
    ///   - dProjected: (m, D), overwritten with the gradient; nil for the loss alone.
    func teacherSpace(
        teacher: Matrix,
        projected: Matrix,
        head: HeadProduct,
        temperature: Float,
        weight: Float,
        dProjected: Matrix?
    ) -> Double {
        let settings = Divergence.forwardKL.kernelSettings(
            temperature: temperature,
            targetTemperature: temperature,
            weight: weight,
            crossEntropyWeight: 0
        )
        let width = head.vocabulary
        var sum = 0.0
        forEachChunk(of: teacher.rows, widths: [width, width]) { range, logits in
            let (q, p) = (logits[0], logits[1])
            head.logits(projected.slice(rows: range), into: q)
            head.logits(teacher.slice(rows: range), into: p)
            var losses = [Double](repeating: 0, count: range.count)
            losses.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let losses = buffer
                nonisolated(unsafe) let head = head
                parallelRanges(range.count) { rows, _ in
                    var settings = settings
                    let caps = CapBackward(width: width, heads: [head])
                    for r in rows {
                        var row = ck_criterion_losses()
                        caps.replace(q.row(r), of: head) {
                            ck_criterion_row(
                                p.row(r),
                                width,
                                q.row(r),
                                width,
                                -1,
                                &settings,
                                nil,
                                &row
                            )
                        }
                        losses[r] = row.divergence
                    }
                }
            }
            for loss in losses { sum += loss }
            guard let dProjected else { return }
            head.inputGradient(q, into: dProjected.slice(rows: range), accumulate: false)
        }
        return sum
    }

    /// Calls `body` with ranges of rows and one logits matrix a width, reused from chunk to chunk.
    func forEachChunk(
        of rows: Int,
        widths: [Int],
        _ body: (_ range: Range<Int>, _ logits: [Matrix]) -> Void
    ) {
        let step = max(1, min(rows, memoryLimit / (4 * max(1, widths.reduce(0, +)))))
        // Rounded up so that every matrix starts on a cache line.
        let sizes = widths.map { (step * $0 + 15) / 16 * 16 }
        let needed = sizes.reduce(0, +)
        if memory.columns < needed { memory = Matrix(uninitialized: 1, needed) }
        var offset = 0
        let buffers = zip(widths, sizes).map { width, size in
            defer { offset += size }
            return memory.slice(columns: offset..<(offset + step * width)).reshaped(step, width)
        }
        var start = 0
        while start < rows {
            let range = start..<min(start + step, rows)
            body(range, buffers.map { $0.slice(rows: 0..<range.count) })
            start = range.upperBound
        }
    }
}
