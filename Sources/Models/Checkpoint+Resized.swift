import Foundation

extension Checkpoint {
    /// The model with rows for more tokens.
    ///
    /// Rows of the embedding, and of a head of its own, that no token had, padding too, are the mean of those
    /// that a token had.
    ///
    /// - Parameters:
    ///   - old: Tokens of the model's tokenizer, at most its rows.
    ///   - new: Tokens of the grown one.
    ///   - multiple: The rows are made a multiple of this.
    /// - Throws: `ModelError`: `mismatch` for sizes that do not go together, and what reading throws.
    public func resized(tokens old: Int, to new: Int, multipleOf multiple: Int) throws -> (
        weights: [StreamedWeight], configuration: ModelConfiguration
    ) {
        guard (1...configuration.vocabularySize).contains(old), old <= new, multiple > 0 else {
            throw ModelError(
                .mismatch,
                path: url.path,
                "\(old) tokens grown to \(new) for \(configuration.vocabularySize) rows",
                remedy: "Give the model's own tokenizer with tokens added."
            )
        }
        let rows = (max(new, configuration.vocabularySize) + multiple - 1) / multiple * multiple
        var resized = configuration
        resized.vocabularySize = rows
        try resized.validate(url.path)
        let tables = Set(
            [
                (architecture as? any NamedArchitecture)?.keys.embedding,
                (architecture as? any NamedArchitecture)?.keys.head,
            ].compactMap { $0 }
        )
        let weights = try streamedWeights().map { weight in
            guard tables.contains(weight.name) else { return weight }
            return weight.resized(
                keeping: old,
                to: rows,
                filling: try weight.meanRow(of: old)
            )
        }
        return (weights, resized)
    }
}

extension StreamedWeight {
    /// The mean of the first rows.
    fileprivate func meanRow(of rows: Int) throws -> [Float] {
        var sums = [Double](repeating: 0, count: columns)
        var left = rows * columns
        try forEachStrip { values in
            for index in 0..<min(left, values.count) {
                sums[index % columns] += Double(values[index])
            }
            left -= min(left, values.count)
        }
        return sums.map { Float($0 / Double(rows)) }
    }
}
