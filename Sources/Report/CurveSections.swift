import Distill
import Pages

/// What `metrics.jsonl` says, in curves.
struct CurveSections {
    let runs: [ReportRun]

    init(_ runs: [ReportRun]) { self.runs = runs }

    /// Parts of the loss that a report shows at most.
    private static let mostParts = 16

    /// The total, the cross-entropy, and every other part, of training and of the held-out split.
    var losses: String {
        let names = RunHistory.ordered(
            runs.flatMap { Array($0.history.losses.keys) + Array($0.history.heldOut.keys) }
        )
        let figures = names.prefix(Self.mostParts).compactMap { name in
            Self.figure(
                chart(title: LossPart.title(name), label: LossPart.unit(name)) { run in
                    [
                        (run.name, run.history.losses[name] ?? [], false),
                        ("\(run.name), held out", run.history.heldOut[name] ?? [], true),
                    ]
                },
                LossPart.meaning(name)
            )
        }
        guard !figures.isEmpty else {
            return Block.paragraph("No step is measured: there is nothing in \(RunHistory.file).")
        }
        let note =
            "Means over a step's supervised tokens. Thin lines are single steps (of a long run the lowest "
            + "and highest of each stretch, so that no spike is lost), thick ones their means; dashed lines with "
            + "rings are the held-out split. Losses of different criteria, and cross-entropies of different "
            + "vocabularies, are not comparable."
        let left = names.count - figures.count
        return Block.paragraph(note, "soft") + Block.pictures(figures)
            + (left > 0 ? Block.paragraph("\(left) more parts are not shown.", "soft") : "")
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
        return Block.pictures(charts.compactMap(Self.figure))
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

    /// Nil where there is no point.
    private static func figure(_ chart: CurveChart, _ caption: String) -> String? {
        guard let picture = chart.picture() else { return nil }
        let (head, rows) = chart.table()
        let table = Block.table(
            "\(chart.title), \(chart.label)",
            head,
            rows.map { $0.map { Block.Cell($0) } }
        )
        return Block.figure(picture, caption, more: ("Numbers", table))
    }
}
