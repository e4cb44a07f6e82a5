extension ModelConfiguration {
    /// Refuses sizes and numbers that no model has, before memory is taken for them.
    func validate(_ path: String) throws {
        guard ArchitectureRegistry.names.contains(modelType) else {
            throw Self.unknownArchitecture(modelType, path)
        }
        var limits: [(String, Int, ClosedRange<Int>)] = [
            ("hidden size", hiddenSize, 1...131_072), ("layers", layerCount, 1...1_024),
            ("attention heads", headCount, 1...1_024),
            ("key-value heads", keyValueHeadCount, 1...1_024), ("head size", headSize, 1...1_024),
            ("intermediate size", intermediateSize, 1...1_048_576),
            ("vocabulary", vocabularySize, 1...4_194_304),
            ("positions", maxPositions, 1...16_777_216),
        ]
        if let slidingWindow {
            limits.append(("sliding window", slidingWindow, 1...16_777_216))
        }
        for (name, value, range) in limits where !range.contains(value) {
            throw ModelError(
                .corrupt,
                path: path,
                "\(name) of \(value)",
                remedy: "Expected \(range.lowerBound) to \(range.upperBound)"
            )
        }
        func require(_ holds: Bool, _ message: String, _ remedy: String) throws {
            guard holds else { throw ModelError(.corrupt, path: path, message, remedy: remedy) }
        }
        try require(
            headCount % keyValueHeadCount == 0,
            "\(headCount) attention heads over \(keyValueHeadCount) key-value heads",
            "The first must be a multiple of the second"
        )
        if ["gpt2", "gpt_neox", "phi3"].contains(modelType) {
            try require(
                headSize * headCount == hiddenSize,
                "\(headCount) heads do not divide \(hiddenSize) channels",
                "Check the hidden size and the number of heads"
            )
        }
        try require(
            layerKinds.isEmpty || layerKinds.count == layerCount,
            "kinds of attention for \(layerKinds.count) of \(layerCount) layers",
            "Check layer_types"
        )
        var numbers: [(String, Float?)] = [
            ("norm epsilon", normEpsilon), ("rotary base", ropeTheta),
            ("local rotary base", localRopeTheta), ("query scalar", queryScalar),
            ("attention soft-cap", attentionSoftCap), ("logit soft-cap", logitSoftCap),
            ("embedding scale", embeddingScale),
        ]
        numbers += ropeScaling?.positiveNumbers ?? []
        for (name, value) in numbers {
            guard let value else { continue }
            try require(
                value.isFinite && value > 0,
                "\(name) of \(value)",
                "Expected a number above 0"
            )
        }
        if modelType != "gpt2" { try validateRope(require) }
    }

    private func validateRope(_ require: (Bool, String, String) throws -> Void) throws {
        let size = rotarySize ?? headSize
        try require(
            size > 0 && size % 2 == 0 && size <= headSize,
            rotarySize.map { "\($0) rotary channels in a head of \(headSize)" }
                ?? "an odd head size of \(headSize)",
            "Rotary positions turn pairs of channels"
        )
        let original: Int
        switch ropeScaling {
        case nil, .linear: return
        case .llama3(let scaling): original = scaling.originalMaxPositions
        case .yarn(let scaling): original = scaling.originalMaxPositions
        case .longRope(let scaling):
            original = scaling.originalMaxPositions
            for (name, factors) in [
                ("short_factor", scaling.shortFactors), ("long_factor", scaling.longFactors),
            ] {
                try require(
                    factors.count == size / 2,
                    "\"\(name)\" has \(factors.count) numbers",
                    "Expected one for each of \(size / 2) pairs of channels"
                )
            }
        }
        try require(
            (2...16_777_216).contains(original),
            "original_max_position_embeddings of \(original)",
            "Expected 2 to 16777216"
        )
    }
}

extension RopeScaling {
    /// What must be above 0, with its name in config.json.
    fileprivate var positiveNumbers: [(String, Float?)] {
        switch self {
        case .linear(let factor): [("factor", factor)]
        case .llama3(let scaling):
            [
                ("factor", scaling.factor), ("low_freq_factor", scaling.lowFrequencyFactor),
                ("high_freq_factor", scaling.highFrequencyFactor),
            ]
        case .yarn(let scaling):
            [
                ("factor", scaling.factor), ("attention_factor", scaling.attentionFactor),
                ("beta_fast", scaling.betaFast), ("beta_slow", scaling.betaSlow),
            ]
        case .longRope(let scaling):
            [("attention_factor", scaling.attentionFactor), ("factor", scaling.factor)]
                + scaling.shortFactors.map { ("short_factor", $0) }
                + scaling.longFactors.map { ("long_factor", $0) }
        }
    }
}
