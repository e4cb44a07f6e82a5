import CKernels
import Tensors

extension HeadLoss {
    /// The distribution that learns, q.
    struct Side {
        /// (n, d) and W [V, d].
        let hidden: Matrix, head: HeadProduct
        /// n tokens for its cross-entropy; nil where it has none.
        var labels: [UInt32]?
        /// Scales the gradient of the cross-entropy.
        var crossEntropyWeight: Float = 0
        /// Share of the cross-entropy's target that lies evenly on all tokens.
        var labelSmoothing: Float = 0
        /// (n, d), overwritten with the gradient; nil for the losses alone.
        var dHidden: Matrix?
    }

    /// What q is held against, row by row.
    struct Target {
        /// Where the distribution p comes from.
        enum Source {
            /// (n, k) states times a head, whose vocabulary may be shorter than q's.
            case product(hidden: Matrix, head: HeadProduct)
            /// (n, V) log-probabilities, or logits.
            case stored(Matrix)
            /// Of some tokens alone.
            case sparse(SparseRows)
        }

        /// How far q is from p.
        enum Distance {
            case divergence(Divergence)
            /// The sum of differences of the sorted probabilities (ULD), at temperature 1.
            case sorted
        }

        /// The rows that the distance counts at.
        enum Gate {
            case all
            /// Where p's most likely token is the label.
            case whereRight
            /// Those that are true.
            case rows([Bool])
            /// Where p's most likely token is one of those that are true.
            case whereLikely([Bool])
        }

        let source: Source
        let distance: Distance
        /// Of q and of p.
        let temperature: Float, targetTemperature: Float
        /// Scales the gradient of the distance.
        let weight: Float
        var gate = Gate.all
        /// The token of q's vocabulary that each token of p's becomes; nil where they are one vocabulary.
        var map: [UInt32]?
        /// Labels for the target's own cross-entropy and for `gate`; nil takes those of q.
        var labels: [UInt32]?
        /// Scales the gradient of the target's own cross-entropy; nil where it has none.
        var crossEntropyWeight: Float?
        /// (n, k), receives the gradient of the target's cross-entropy.
        var gradient: Matrix?

        /// Whether anybody asks for p's most likely token.
        var needsLargest: Bool {
            if case .whereRight = gate { return true }
            if case .whereLikely = gate { return true }
            return crossEntropyWeight != nil
        }
    }

    /// Sums over rows.
    struct Sums {
        var crossEntropy = 0.0
        var distance = 0.0
        var targetCrossEntropy = 0.0
        /// Rows where the target's most likely token is the label.
        var targetCorrect = 0.0
        var targetTopProbability = 0.0
        var gateOpen = 0.0
        /// The target's most likely token at each row, where it was looked for.
        var largest: [UInt32] = []
    }

    /// What one row leaves; rows are summed in their order, so threads do not change the sums.
    private struct Row {
        var losses = ck_criterion_losses()
        var targetCrossEntropy = 0.0
        var topProbability: Float = 0
        var largest: UInt32 = 0
        var correct = false
        var open = false
    }

    /// Losses of q against its labels and a target, with their gradients.
    func compare(_ side: Side, _ target: Target? = nil) -> Sums {
        var operands = [
            Operand(
                hidden: side.hidden,
                head: side.head,
                dHidden: side.dHidden,
                learnsHead: side.dHidden != nil
            )
        ]
        if let target, case .product(let hidden, let head) = target.source {
            operands.append(Operand(hidden: hidden, head: head, dHidden: target.gradient))
        }
        let work = RowWork(side, target)
        var sums = Sums()
        forEachChunk(operands) { range, logits in
            var rows = [Row](repeating: Row(), count: range.count)
            rows.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let rows = buffer
                forEachRow(range.count, scratchSize: work.scratchSize) { row, scratch in
                    let at = range.lowerBound + row
                    rows[row] = work.row(
                        at,
                        q: logits[0].row(row),
                        product: logits.count > 1 ? logits[1].row(row) : nil,
                        scratch: scratch
                    )
                }
            }
            for row in rows {
                sums.crossEntropy += row.losses.cross_entropy
                sums.distance += row.losses.divergence
                sums.targetCrossEntropy += row.targetCrossEntropy
                sums.targetCorrect += row.correct ? 1 : 0
                sums.targetTopProbability += Double(row.topProbability)
                sums.gateOpen += row.open ? 1 : 0
            }
            if target?.needsLargest ?? false { sums.largest += rows.map(\.largest) }
        }
        return sums
    }

    /// What is done to one row of logits.
    private struct RowWork: @unchecked Sendable {
        // Unchecked: heads are classes, of which only constants are read here.
        private let side: Side
        private let target: Target?
        private let settings: ck_criterion_settings
        private let width: Int
        private let targetWidth: Int
        /// Floats of `scratch` by use: a kept row for each soft-cap, a mapped row, the kernel's own.
        private let capSize: Int, mapSize: Int, kernelSize: Int

        init(_ side: Side, _ target: Target?) {
            self.side = side
            self.target = target
            width = side.head.vocabulary
            var caps = side.head.softCap == nil ? 0 : width
            var (targetWidth, kernel, map) = (0, 0, 0)
            var divergence = Divergence.forwardKL
            if let target {
                switch target.source {
                case .product(_, let head):
                    targetWidth = head.vocabulary
                    if head.softCap != nil { caps = max(caps, targetWidth) }
                case .stored(let rows): targetWidth = rows.columns
                case .sparse(let rows): kernel = ck_sparse_scratch(rows.longest)
                }
                map = target.map == nil ? 0 : width
                switch target.distance {
                case .divergence(let chosen):
                    divergence = chosen
                    kernel = max(kernel, ck_criterion_scratch(width))
                case .sorted:
                    var longest = targetWidth
                    if case .sparse(let rows) = target.source { longest = rows.longest }
                    // Probabilities, then 64-bit numbers.
                    kernel = HeadLoss.lines(longest) + 2 * ck_sorted_scratch(longest, width)
                }
            }
            self.targetWidth = targetWidth
            capSize = HeadLoss.lines(caps)
            mapSize = HeadLoss.lines(map)
            kernelSize = kernel
            settings = divergence.kernelSettings(
                temperature: target?.temperature ?? 1,
                targetTemperature: target?.map == nil ? target?.targetTemperature ?? 1 : 1,
                weight: target?.weight ?? 0,
                crossEntropyWeight: side.crossEntropyWeight,
                labelSmoothing: side.labelSmoothing
            )
        }

        var scratchSize: Int { capSize + mapSize + kernelSize }

        /// - Parameters:
        ///   - q: (V) logits, replaced by gradients.
        ///   - product: The target's logits, replaced by the gradient of its own cross-entropy.
        func row(
            _ at: Int,
            q: UnsafeMutablePointer<Float>,
            product: UnsafeMutablePointer<Float>?,
            scratch: UnsafeMutablePointer<Float>
        ) -> Row {
            var row = Row()
            let label = side.labels.map { Int64($0[at]) } ?? -1
            guard let target else {
                CapBackward(kept: scratch).replace(q, of: side.head) {
                    distance(nil, isOpen: false, q, label, at, scratch, &row.losses)
                }
                return row
            }
            var p: UnsafePointer<Float>? = product.map { UnsafePointer($0) }
            if case .stored(let rows) = target.source { p = UnsafePointer(rows.row(at)) }
            let targetLabel = target.labels.map { Int64($0[at]) } ?? label
            if target.needsLargest, let p {
                var index = 0
                _ = ck_largest(p, targetWidth, &index)
                row.largest = UInt32(index)
                row.correct = Int64(index) == targetLabel
            }
            row.open =
                switch target.gate {
                case .all: true
                case .whereRight: row.correct
                case .rows(let open): open[at]
                case .whereLikely(let open): open[Int(row.largest)]
                }
            CapBackward(kept: scratch).replace(q, of: side.head) {
                distance(p, isOpen: row.open, q, label, at, scratch, &row.losses)
            }
            if let weight = target.crossEntropyWeight, let product, targetLabel >= 0,
                case .product(_, let head) = target.source
            {
                row.targetCrossEntropy = CapBackward(kept: scratch).replace(product, of: head) {
                    ck_cross_entropy_row(
                        product,
                        targetWidth,
                        Int(targetLabel),
                        weight,
                        0,
                        &row.topProbability,
                        nil
                    )
                }
            }
            return row
        }

        /// - Parameters:
        ///   - p: The target's logits; nil where they are sparse.
        ///   - isOpen: Whether the distance counts at this row.
        private func distance(
            _ p: UnsafePointer<Float>?,
            isOpen: Bool,
            _ q: UnsafeMutablePointer<Float>,
            _ label: Int64,
            _ at: Int,
            _ scratch: UnsafeMutablePointer<Float>,
            _ losses: inout ck_criterion_losses
        ) {
            var settings = settings
            let mapped = scratch + capSize
            let own = mapped + mapSize
            if isOpen, let target, case .sparse(let rows) = target.source {
                if case .sorted = target.distance {
                    rows.withSorted(at) { p, count, tail in
                        sorted(
                            p,
                            count,
                            tail,
                            q,
                            label,
                            own + HeadLoss.lines(rows.longest),
                            &losses
                        )
                    }
                } else {
                    rows.withRow(at) { ids, logs, count, ghost in
                        ck_sparse_row(
                            ids,
                            logs,
                            count,
                            ghost,
                            q,
                            width,
                            label,
                            &settings,
                            own,
                            &losses
                        )
                    }
                }
                return
            }
            if isOpen, let target, case .sorted = target.distance, let p {
                _ = ck_softmax_of(p, own, targetWidth, 1)
                let rest = own + HeadLoss.lines(targetWidth)
                sorted(own, targetWidth, -1, q, label, rest, &losses)
                return
            }
            var (p, count) = (isOpen ? p : nil, min(targetWidth, width))
            if let target, let map = target.map, let logits = p {
                map.withUnsafeBufferPointer {
                    ck_mapped_row(
                        logits,
                        targetWidth,
                        1 / target.targetTemperature,
                        $0.baseAddress,
                        mapped,
                        width
                    )
                }
                (p, count) = (UnsafePointer(mapped), width)
            }
            ck_criterion_row(p, p == nil ? 0 : count, q, width, label, &settings, own, &losses)
        }

        private func sorted(
            _ p: UnsafePointer<Float>,
            _ count: Int,
            _ tail: Float,
            _ q: UnsafeMutablePointer<Float>,
            _ label: Int64,
            _ scratch: UnsafeMutablePointer<Float>,
            _ losses: inout ck_criterion_losses
        ) {
            var settings = settings
            let room = ck_sorted_scratch(count, width)
            scratch.withMemoryRebound(to: UInt64.self, capacity: room) {
                ck_sorted_row(p, count, tail, q, width, label, &settings, $0, &losses)
            }
        }
    }
}
