import Cache

/// How long a run is, and what a step of it takes.
extension DistillSettings {
    /// Passes over the data where neither `steps` nor `epochs` says how long.
    public static let defaultEpochs = 3

    /// Epochs at most where micro-batches are filled by tokens, and each epoch's have to be counted.
    static let mostCountedEpochs = 1000

    /// Steps, and epochs, of a run at most.
    static let longestRun = 1_000_000_000

    /// Steps of a run over a split of so many examples, the last one perhaps not full.
    ///
    /// - Throws: `DistillError.badSetting` where that is no number of steps that a run can have.
    func totalSteps(examples: Int) throws -> Int {
        if let steps { return steps }
        let epochs = epochs ?? Self.defaultEpochs
        let perEpoch = (examples - 1) / batchExamples + 1
        let (batches, overflow) = perEpoch.multipliedReportingOverflow(by: epochs)
        let total = (batches - 1) / accumulate + 1
        try require(
            !overflow && total <= Self.longestRun,
            "epochs",
            "\(epochs)",
            "over \(examples) examples that is more than 1,000,000,000 steps; give fewer"
        )
        return total
    }

    /// Steps of a run whose micro-batches are filled by tokens.
    ///
    /// - Parameter batches: Micro-batches of an epoch, by its number.
    /// - Throws: As `totalSteps(examples:)`, and what `batches` throws.
    func totalSteps(batches: (_ epoch: Int) throws -> Int) throws -> Int {
        if let steps { return steps }
        let epochs = epochs ?? Self.defaultEpochs
        try require(
            epochs <= Self.mostCountedEpochs,
            "epochs",
            "\(epochs)",
            "with batch_tokens give at most \(Self.mostCountedEpochs), or give steps"
        )
        let all = try (0..<epochs).reduce(0) { try $0 + batches($1) }
        return max(1, (all - 1) / accumulate + 1)
    }

    /// When a micro-batch is full.
    var batchSize: CacheStream.BatchSize {
        batchTokens.map { .tokens($0) } ?? .examples(batchExamples)
    }

    /// What one optimiser step takes, such as `64 examples` or `up to 8192 tokens`.
    public var stepInWords: String {
        guard let batchTokens else { return "\(batchExamples * accumulate) examples" }
        return "up to \(accumulate > 1 ? "\(accumulate) x " : "")\(batchTokens) tokens"
    }
}
