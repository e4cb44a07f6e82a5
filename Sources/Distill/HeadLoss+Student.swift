import Tensors

extension HeadLoss {
    /// Rows of a student that are held against one target.
    struct Part {
        /// Rows of the batch; a row is in one part at most.
        let rows: [Int]
        /// As many rows.
        let target: Target
    }

    /// The student's cross-entropy at every row of a batch, and its distance to targets at some.
    ///
    /// - Parameters:
    ///   - crossEntropyWeight: Scales the gradient of the cross-entropy.
    ///   - dHidden: (n, d), overwritten with the gradient; nil for the losses alone.
    /// - Returns: The sum of the cross-entropy over all rows, and the sums of each part.
    func student(
        _ rows: SupervisedRows,
        head: HeadProduct,
        settings: CriterionSettings,
        crossEntropyWeight: Float,
        parts: [Part],
        dHidden: Matrix?
    ) -> (crossEntropy: Double, parts: [Sums]) {
        var isPart = [Bool](repeating: false, count: rows.count)
        for part in parts {
            for row in part.rows { isPart[row] = true }
        }
        let rest = isPart.indices.filter { !isPart[$0] }
        var total = 0.0
        func sums(_ selection: [Int], _ target: Target?) -> Sums {
            guard !selection.isEmpty else { return Sums() }
            let isWhole = rows.hidden.isWhole(selection)
            let gradient = dHidden.map {
                isWhole ? $0 : Matrix(uninitialized: selection.count, $0.columns)
            }
            let side = Side(
                hidden: rows.hidden.gathered(selection),
                head: head,
                labels: selection.map { rows.labels[$0] },
                crossEntropyWeight: crossEntropyWeight,
                labelSmoothing: settings.labelSmoothing,
                dHidden: gradient
            )
            let sums = compare(side, target)
            if !isWhole, let gradient { dHidden?.scatter(gradient, to: selection) }
            total += sums.crossEntropy
            return sums
        }
        let partSums = parts.map { sums($0.rows, $0.target) }
        _ = sums(rest, nil)
        return (total, partSums)
    }
}
