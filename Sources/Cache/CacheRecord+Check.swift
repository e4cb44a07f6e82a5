import CKernels

extension CacheRecord {
    /// Refuses a record whose parts do not fit together or the description.
    func check(_ description: CacheDescription, path: String) throws {
        func refuse(_ what: String, _ remedy: String? = nil) -> CacheError {
            CacheError(
                .mismatch,
                path: path,
                "record \(id): \(what)",
                remedy: remedy ?? "This is a fault of the extractor, or of the teacher's numbers."
            )
        }
        let rows = self.rows
        let k = description.topK
        let signals = description.signals
        let vocabulary = description.teacher.vocabularySize
        guard idBytes != nil else { throw refuse("the id is not 32 lower-case hex digits") }
        guard supervised.lowerBound >= 0,
            supervised.isEmpty || supervised.upperBound < tokenIDs.count
        else {
            throw refuse("supervised \(supervised) of \(tokenIDs.count) tokens leaves no label")
        }
        guard positions == (signals.positions == .all ? 0..<tokenIDs.count : supervised) else {
            throw refuse("rows at \(positions), but the cache has \(signals.positions.rawValue)")
        }
        guard layers.keys.sorted() == signals.hiddenLayers else {
            throw refuse("layers \(layers.keys.sorted()), not \(signals.hiddenLayers)")
        }
        guard topKIDs.count == rows * k, topKLogProbs.count == rows * k,
            logPartition.count == (description.hasLogits ? rows : 0)
        else { throw refuse("top-k arrays do not have \(rows) rows of \(k)") }
        guard tokenIDs.allSatisfy({ $0 < vocabulary }), topKIDs.allSatisfy({ $0 < vocabulary })
        else { throw refuse("a token id is not below \(vocabulary)") }
        if signals.samples > 0 {
            let fault = samples.fault(rows: rows, draws: signals.samples, vocabulary: vocabulary)
            if let fault { throw refuse(fault) }
        } else if samples != SampledTokens() {
            throw refuse("sampled tokens, which the cache does not have")
        }
        guard
            fullLogProbs.isEmpty
                || (signals.fullLogits != nil && fullLogProbs.count == rows * vocabulary)
        else { throw refuse("\(fullLogProbs.count) full log-probabilities for \(rows) rows") }
        let hiddens = [("hidden", hidden)] + layers.map { ("layer \($0)", $1) }
        for (name, values) in hiddens where values.count != rows * description.teacher.hiddenSize {
            throw refuse("\(values.count) values of \(name) for \(rows) rows")
        }
        for (name, values) in hiddens
            + [("topKLogProbs", topKLogProbs), ("logPartition", logPartition)]
        {
            let bad = ck_count_nonfinite(values, values.count)
            guard bad == 0 else { throw refuse("\(bad) values of \(name) are not finite") }
        }
        guard signals.hiddenType == .f16 else { return }
        for (name, values) in hiddens {
            if let value = values.first(where: { abs($0) > 65_504 }) {
                throw refuse(
                    "\(value) of \(name) is beyond 65504, the largest number of f16",
                    "Set extract.hidden_dtype to bf16."
                )
            }
        }
    }
}
