import Cache

/// What every way to store a teacher costs, in bytes and in truth: docs/fidelity.md defines each number.
public struct FidelityReport: Codable, Equatable, Sendable {
    /// One way.
    public struct Option: Codable, Equatable, Sendable {
        /// Such as `top-64, ghost`.
        public var name: String
        /// Packed as in a shard; nil for the yardstick, and where the true numbers are not known.
        public var bytesPerRow: Double?
        /// The same packed with deflate.
        public var deflatedBytesPerRow: Double?
        /// Before packing.
        public var rawBytesPerRow: Double?
        /// Why there are no figures, or what they leave out.
        public var note: String?
        /// The share of rows whose most likely token is the exact one.
        public var sameTop: Double?
        /// One for each temperature at which it says anything.
        public var figures: [FidelityFigures]

        enum CodingKeys: String, CodingKey {
            case name, note, figures
            case bytesPerRow = "bytes_per_row"
            case deflatedBytesPerRow = "deflated_bytes_per_row"
            case rawBytesPerRow = "raw_bytes_per_row"
            case sameTop = "same_top"
        }

        /// At one temperature.
        public func at(_ temperature: Float) -> FidelityFigures? {
            figures.first { $0.temperature == temperature }
        }
    }

    /// The teacher's name.
    public var teacher: String
    /// The split.
    public var split: String
    /// Examples and rows looked at.
    public var examples: Int
    /// See `examples`.
    public var rows: Int
    /// Of p, q and s.
    public var temperatures: [Float]
    /// Rows of a batch.
    public var batchRows: Int
    /// Whose gradients are compared, in words.
    public var student: String
    /// What is taken for exact, in words.
    public var exact: String
    /// Bytes of `teacher.h5`, which options with hidden states need once a cache.
    public var teacherBytes: Int
    /// Sorted by bytes.
    public var options: [Option]
    /// The teacher in bf16 against itself in f32; nil where the teacher was not run.
    public var yardstick: Option?

    enum CodingKeys: String, CodingKey {
        case teacher, split, examples, rows, temperatures, student, exact, options, yardstick
        case batchRows = "batch_rows"
        case teacherBytes = "teacher_bytes"
    }

    /// The options that are no further off than the teacher's own noise at a temperature.
    ///
    /// - Parameter figure: Such as `\.kl`; options that lack it are left out.
    public func belowYardstick(
        _ figure: KeyPath<FidelityFigures, Double?>,
        temperature: Float
    ) -> [Option] {
        guard let limit = yardstick?.at(temperature)?[keyPath: figure] else { return [] }
        return options.filter { option in
            option.at(temperature)?[keyPath: figure].map { $0 <= limit } ?? false
        }
    }
}

extension CacheFidelity {
    /// What was found.
    func report(split: String, examples: Int, _ reader: CacheReader) throws -> FidelityReport {
        var bytes: [StorageTrial.Signal: StorageTrial.Bytes] = [:]
        var drawn: [Int: StorageTrial.Bytes] = [:]
        for state in states {
            guard let trial = state.trial, let signal = state.option.signal else { continue }
            let made = try trial.finish()
            // Draws differ in their number alone, which their signal does not tell.
            if let draws = state.option.draws { drawn[draws] = made } else { bytes[signal] = made }
        }
        let temperatures = settings.temperatures
        let exactNorms = exactSums.map(\.norm)
        let all = states.map { state -> FidelityReport.Option in
            let option = state.option
            var packed = option.draws.map { drawn[$0] } ?? option.signal.flatMap { bytes[$0] }
            if !reference.tellsBytes(option) { packed = nil }
            func each(_ bytes: Int?) -> Double? {
                bytes.map { Double($0) / Double(max(1, rowCount)) }
            }
            var result = FidelityReport.Option(
                name: option.name,
                bytesPerRow: each(packed?.stored),
                deflatedBytesPerRow: each(packed?.deflated),
                rawBytesPerRow: each(packed?.raw) ?? rawBytes(option),
                note: state.limit ?? note(option),
                sameTop: nil,
                figures: []
            )
            guard state.limit == nil else { return result }
            result.sameTop = each(state.sameTop)
            for (t, temperature) in temperatures.enumerated() {
                let isSaid = option.draws == nil || temperature == 1
                guard isSaid else { continue }
                let all = exactNorms[t] > 0 ? state.sums[t].norm / exactNorms[t] : nil
                result.figures.append(state.tallies[t].figures(temperature, all: all))
            }
            return result
        }
        let yardstick = FidelityOption.teacherInBF16.name
        func size(_ option: FidelityReport.Option) -> Double {
            option.bytesPerRow ?? option.rawBytesPerRow ?? 0
        }
        let teacher = reader.manifest.description.teacher
        return FidelityReport(
            teacher: teacher.name,
            split: split,
            examples: examples,
            rows: rowCount,
            temperatures: temperatures,
            batchRows: settings.batchRows,
            student:
                "the exact logits divided by \(FidelityReport.plain(Double(settings.softness)))",
            exact: reference.name,
            teacherBytes: reader.manifest.teacher.bytes,
            options: all.filter { $0.name != yardstick }.enumerated().sorted {
                (size($0.element), $0.offset) < (size($1.element), $1.offset)
            }.map(\.element),
            yardstick: all.first { $0.name == yardstick }
        )
    }

    private func rawBytes(_ option: FidelityOption) -> Double? {
        guard case .hidden(let type) = option else { return nil }
        return Double(width * (type == .f32 ? 4 : type == .int8 ? 1 : 2))
    }

    private func note(_ option: FidelityOption) -> String? {
        switch (option, reference) {
        case (.hiddenBF16Head, .cache(.bf16)): "the head's own noise: the cache is in bf16 already"
        case (.sampled, _) where !settings.temperatures.contains(1): "drawn at temperature 1 alone"
        default: nil
        }
    }
}
