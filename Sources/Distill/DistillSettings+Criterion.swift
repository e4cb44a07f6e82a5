extension DistillSettings {
    /// What the criterion is told.
    ///
    /// - Throws: `DistillError.badSetting` or `.unknownName`, with the key and the remedy.
    public func criterionSettings(for type: any Criterion.Type) throws -> CriterionSettings {
        try requireName(divergence, among: Divergence.allCases.map(\.rawValue), kind: "divergence")
        try requireName(
            teacherSignal,
            among: TeacherSignal.allCases.map(\.rawValue),
            kind: "teacher_signal"
        )
        try requireName(topKTail, among: TopKTail.allCases.map(\.rawValue), kind: "topk_tail")
        for (key, value) in [
            ("temperature", temperature), ("teacher_temperature", teacherTemperature),
        ] {
            try require(value > 0 && value.isFinite, key, "\(value)", "give a number above 0")
        }
        for (key, value) in [("kd_rate", kdRate), ("t2s_agreement", agreement)] {
            try require((0...1).contains(value), key, "\(value)", "give a number from 0 to 1")
        }
        try require(
            (0..<1).contains(labelSmoothing),
            "label_smoothing",
            "\(labelSmoothing)",
            "give a number from 0 to below 1"
        )
        try require(
            topVocabulary.map { $0 > 0 } ?? true,
            "topk_vocab",
            "\(topVocabulary ?? 0)",
            "give 1 or more, or leave it out for all tokens"
        )
        for name in projectors.keys.sorted() {
            try require(
                !type.projectorNames.isEmpty,
                "projectors",
                name,
                "\(type.name) has no projectors; leave it out"
            )
            try requireName(name, among: type.projectorNames, kind: "projector of \(type.name)")
        }
        var settings = CriterionSettings(
            kdRate: kdRate,
            temperature: temperature,
            teacherTemperature: teacherTemperature,
            divergence: Divergence(rawValue: divergence) ?? .forwardKL,
            scalesByTemperatureSquared: temperatureSquared
        )
        settings.labelSmoothing = labelSmoothing
        settings.teacherSignal = TeacherSignal(rawValue: teacherSignal) ?? .exact
        settings.topKTail = TopKTail(rawValue: topKTail) ?? .ghost
        settings.projectors = projectors
        settings.topVocabulary = topVocabulary
        settings.agreement = agreement
        settings.layers = try layers.map { text in
            guard let pair = LayerPair(text) else {
                throw DistillError.badSetting(
                    key: "layers",
                    value: "\"\(text)\"",
                    remedy: "write student:teacher, each a layer's number or final, such as 4:20"
                )
            }
            return pair
        }
        // A criterion refuses what it cannot do; its widths are not known yet.
        let sizes = CriterionSizes(student: 1, teacher: 1)
        var plain = settings
        plain.projectors = [:]
        _ = try type.init(CriterionContext(settings: plain, sizes: sizes, seed: 0))
        return settings
    }
}
