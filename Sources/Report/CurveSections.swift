import Distill
import Pages

/// What `metrics.jsonl` says, in curves.
struct CurveSections {
    let runs: [ReportRun]

    init(_ runs: [ReportRun]) { self.runs = runs }

    /// Parts of the loss that a report shows at most.
    private static let mostParts = 16

    /// What parts of the loss are, where the name does not say it.
    private static func meaning(_ part: String) -> String {
        switch part {
        case "total": "What is trained on: cross-entropy and distillation, weighed by kd_rate."
        case "ce": "Cross-entropy of the reference answer under the student."
        case "kd": "All of what the criterion adds to the cross-entropy."
        case _ where part.hasPrefix("t2s_ce"):
            "The reference answer under the teacher's states, projected into the student's space."
        case _ where part.hasPrefix("t2s_kd"):
            "From the teacher's projected states to the student, both through the student's head."
        case _ where part.hasPrefix("s2t_kd"):
            "From the teacher to the student's projected states, both through the teacher's head."
        case "t2s_gate": "The share of tokens at which t2s_kd counts."
        case "t2s_accuracy": "How often the projected teacher predicts the reference."
        case "t2s_top_probability": "Of the projected teacher's most likely token."
        default: ""
        }
    }

    /// Some parts are no losses, but tell how one comes about.
    private static func unit(_ part: String) -> String {
        ["accuracy", "gate", "probability", "agreement"].contains(where: part.hasSuffix)
            ? "mean over tokens" : "loss, nats a token"
    }

    private static func title(_ part: String) -> String {
        switch part {
        case "total": "Total loss"
        case "ce": "Cross-entropy (ce)"
        case "kd": "Distillation (kd)"
        default: String(part.prefix(40))
        }
    }

    /// The total, the cross-entropy, and every other part, of training and of the held-out split.
    var losses: String {
        let names = RunHistory.ordered(
            runs.flatMap { Array($0.history.losses.keys) + Array($0.history.heldOut.keys) }
        )
        var charts = names.prefix(Self.mostParts).map { name in
            (
                chart(title: Self.title(name), label: Self.unit(name)) { run in
                    [
                        (run.name, run.history.losses[name] ?? [], false),
                        ("\(run.name), held out", run.history.heldOut[name] ?? [], true),
                    ]
                },
                Self.meaning(name)
            )
        }
        charts.removeAll { $0.0.picture() == nil }
        guard !charts.isEmpty else { return Block.paragraph("No step is measured yet.") }
        let note =
            "Means over a step's supervised tokens, in nats. Thin lines are single steps (of a long run the lowest "
            + "and highest of each stretch, so that no spike is lost), thick ones their means; dashed lines with "
            + "rings are the held-out split. Losses of different criteria, and cross-entropies of different "
            + "vocabularies, are not comparable."
        return Block.paragraph(note, "soft") + Block.pictures(charts.map(Self.figure))
    }

    /// Learning rate, gradient, speed.
    var training: String {
        let charts = [
            (
                chart(title: "Learning rate", label: "learning rate") {
                    [($0.name, $0.history.learningRate, false)]
                }, ""
            ),
            (
                chart(title: "Gradient norm", label: "norm before clipping") {
                    [($0.name, $0.history.gradientNorm, false)]
                },
                clipping
            ),
            (
                chart(title: "Throughput", label: "tokens a second") {
                    [($0.name, $0.history.tokensPerSecond, false)]
                },
                "Tokens that the student ran over, prompts among them."
            ),
            (
                chart(title: "Share of peak", label: "share of a plain product") {
                    [($0.name, $0.history.shareOfPeak, false)]
                },
                "Useful operations a second over those of a plain matrix product on the same machine."
            ),
        ]
        return Block.pictures(charts.filter { $0.0.picture() != nil }.map(Self.figure))
    }

    private var clipping: String {
        let limits = Set(runs.compactMap { $0.settings?.clip }.filter { $0 > 0 })
        guard limits.count == 1, let limit = limits.first else { return "" }
        return "Gradients above \(Axis.label(Double(limit))) were clipped to that."
    }

    private func chart(
        title: String,
        label: String,
        _ curves: (ReportRun) -> [(name: String, points: [CurvePoint], isMarked: Bool)]
    ) -> CurveChart {
        CurveChart(
            title: title,
            label: label,
            series: runs.enumerated().flatMap { style, run in
                curves(run).map {
                    CurveChart.Series(
                        name: $0.name,
                        points: $0.points,
                        style: style,
                        isMarked: $0.isMarked
                    )
                }
            }
        )
    }

    private static func figure(_ chart: CurveChart, _ caption: String) -> String {
        guard let picture = chart.picture() else { return "" }
        let (head, rows) = chart.table()
        let table = Block.table(
            "\(chart.title), \(chart.label)",
            head,
            rows.map { $0.map { Block.Cell($0) } }
        )
        return Block.figure(picture, caption, more: ("Numbers", table))
    }
}
