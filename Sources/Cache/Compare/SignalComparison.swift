/// The signals of the examples that two caches have in common.
struct SignalComparison {
    private let a: CacheDescription
    private let b: CacheDescription
    /// What both have and what therefore is read.
    let extra: ExtraSignals
    private var sums: [String: SignalSums] = [:]

    init(_ a: CacheDescription, _ b: CacheDescription) {
        (self.a, self.b) = (a, b)
        let (mine, theirs) = (a.signals, b.signals)
        let hasSameVocabulary = a.teacher.vocabularySize == b.teacher.vocabularySize
        extra = ExtraSignals(
            hiddenLayers: mine.hiddenLayers.filter(theirs.hiddenLayers.contains),
            samples: mine.samples > 0 && theirs.samples > 0,
            fullLogits: mine.fullLogits != nil && theirs.fullLogits != nil && hasSameVocabulary,
            allPositions: mine.positions == .all && theirs.positions == .all
        )
        for name in names {
            sums[name] = SignalSums(name, note: note(name))
        }
    }

    /// Arrays by row of either cache; scales are no signals of their own.
    private var names: [String] {
        func names(_ description: CacheDescription) -> [String] {
            let signals = description.signals
            var names = [ShardFormat.hidden] + signals.hiddenLayers.map(ShardFormat.layer)
            if description.topK > 0 {
                names += [ShardFormat.topKIDs, ShardFormat.topKLogProbs]
            }
            if description.hasLogits { names.append(ShardFormat.logPartition) }
            if signals.samples > 0 { names.append(ShardFormat.sampleCounts) }
            if signals.fullLogits != nil { names.append(ShardFormat.fullLogProbs) }
            return names
        }
        let mine = names(a)
        return mine + names(b).filter { !mine.contains($0) }
    }

    /// Why an array is not compared; nil when it is.
    private func note(_ name: String) -> String? {
        func has(_ description: CacheDescription) -> Bool {
            let signals = description.signals
            switch name {
            case ShardFormat.hidden: return true
            case ShardFormat.topKIDs, ShardFormat.topKLogProbs: return description.topK > 0
            case ShardFormat.logPartition: return description.hasLogits
            case ShardFormat.sampleCounts: return signals.samples > 0
            case ShardFormat.fullLogProbs: return signals.fullLogits != nil
            default: return signals.hiddenLayers.map(ShardFormat.layer).contains(name)
            }
        }
        guard has(a) else { return "only in B" }
        guard has(b) else { return "only in A" }
        let (mine, theirs) = (a.teacher, b.teacher)
        if name.hasPrefix("hidden/"), mine.hiddenSize != theirs.hiddenSize {
            return "not compared: width \(mine.hiddenSize) in A, \(theirs.hiddenSize) in B"
        }
        if name == ShardFormat.fullLogProbs, mine.vocabularySize != theirs.vocabularySize {
            return "not compared: \(mine.vocabularySize) tokens in A, \(theirs.vocabularySize) in B"
        }
        return nil
    }

    /// One line for each array, in the order of a shard.
    var result: [CacheDifference.Signal] { names.compactMap { sums[$0]?.result } }

    /// Adds an example that has the same tokens and supervised positions in both.
    mutating func add(_ x: CacheRecord, _ y: CacheRecord) {
        let width = a.teacher.hiddenSize
        floats(ShardFormat.hidden, x.hidden, y.hidden, width)
        for layer in extra.hiddenLayers {
            floats(ShardFormat.layer(layer), x.layers[layer] ?? [], y.layers[layer] ?? [], width)
        }
        let rows = x.rows
        if a.topK > 0, b.topK > 0 {
            for row in 0..<rows {
                let mine = row * a.topK..<(row + 1) * a.topK
                let theirs = row * b.topK..<(row + 1) * b.topK
                sums[ShardFormat.topKIDs]?.add(row: x.topKIDs[mine], y.topKIDs[theirs])
                sums[ShardFormat.topKLogProbs]?.add(
                    row: zip(x.topKIDs[mine], x.topKLogProbs[mine]),
                    zip(y.topKIDs[theirs], y.topKLogProbs[theirs])
                )
            }
        }
        if a.hasLogits, b.hasLogits {
            floats(ShardFormat.logPartition, x.logPartition, y.logPartition, 1)
        }
        if extra.samples {
            for row in 0..<rows {
                func entries(_ samples: SampledTokens)
                    -> Zip2Sequence<ArraySlice<UInt32>, ArraySlice<Float>>
                {
                    let part = samples.slice(rows: row..<row + 1)
                    return zip(part.ids[...], part.counts.map { Float($0) }[...])
                }
                // A token that was not drawn has the count 0.
                sums[ShardFormat.sampleCounts]?.add(
                    row: entries(x.samples),
                    entries(y.samples),
                    missing: 0
                )
            }
        }
        if extra.fullLogits {
            let vocabulary = a.teacher.vocabularySize
            floats(ShardFormat.fullLogProbs, x.fullLogProbs, y.fullLogProbs, vocabulary)
        }
    }

    private mutating func floats(_ name: String, _ x: [Float], _ y: [Float], _ width: Int) {
        guard note(name) == nil else { return }
        sums[name]?.add(rows: x, y, width: width)
    }
}
