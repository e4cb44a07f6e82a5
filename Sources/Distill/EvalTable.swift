import Cache
import Foundation

/// Reports side by side, one row a model, in plain text.
public struct EvalTable {
    private let reports: [EvalReport]

    /// A table of some models, in their order.
    public init(_ reports: [EvalReport]) { self.reports = reports }

    /// A column: its title, its measure, and how a figure is shown.
    private struct Column: Sendable {
        let title: String
        let measure: EvalMeasure?
        let value: @Sendable (EvalReport) -> Double?
        var digits = 4
        var factor = 1.0
    }

    private static let columns: [Column] = [
        Column(title: "loss/token", measure: .crossEntropy, value: { $0.crossEntropy }),
        Column(title: "perplexity", measure: nil, value: { $0.perplexity }, digits: 2),
        Column(
            title: "loss/byte",
            measure: .crossEntropyPerByte,
            value: { $0.crossEntropyPerByte }
        ),
        Column(title: "KL", measure: .kl, value: { $0.kl }),
        Column(
            title: "top 1",
            measure: .topOneAgreement,
            value: { $0.topOneAgreement },
            digits: 1,
            factor: 100
        ),
        Column(title: "KL byte", measure: .klNextByte, value: { $0.klNextByte }),
        Column(
            title: "same byte",
            measure: .nextByteAgreement,
            value: { $0.nextByteAgreement },
            digits: 1,
            factor: 100
        ),
        Column(title: "CKA", measure: nil, value: { $0.linearCKA }, digits: 3),
        Column(
            title: "aligned",
            measure: .alignmentQuality,
            value: { $0.alignmentQuality },
            digits: 1,
            factor: 100
        ),
        Column(
            title: "ECE",
            measure: nil,
            value: { $0.calibration?.error },
            digits: 1,
            factor: 100
        ),
        Column(title: "ROUGE-L", measure: .rougeL, value: { $0.rougeL }, digits: 2, factor: 100),
        Column(
            title: "exact",
            measure: .exactMatch,
            value: { $0.exactMatch },
            digits: 1,
            factor: 100
        ),
    ]

    /// One that nobody has figures for says nothing.
    private var columns: [Column] {
        Self.columns.filter { column in reports.contains { column.value($0) != nil } }
    }

    /// The longest name of a model that is shown whole.
    private static let nameWidth = 32

    /// Lines of the table; a dash where there is no number, a plus or minus where a model is surely better or
    /// worse than the baseline.
    public var text: String {
        let head = ["model"] + columns.map(\.title)
        let rows = reports.map { report in
            [Self.shortened(report.name)] + columns.map { Self.cell($0, report) }
        }
        return TextTable.lines([head] + rows).joined(separator: "\n") + "\n" + notes
    }

    /// What the marks mean.
    public static func markNote(_ baseline: String) -> String {
        "+ and -: better and worse than \(shortened(baseline)), in 95 of 100 samples of as many examples."
    }

    private var notes: String {
        let hundreds = columns.filter { $0.factor == 100 }.map(\.title)
        var notes =
            hundreds.isEmpty ? [] : ["x 100: \(hundreds.joined(separator: ", "))."]
        if let baseline = reports.compactMap(\.baseline).first {
            notes.append(Self.markNote(baseline))
        }
        return "\n" + notes.joined(separator: "\n") + "\n"
    }

    private static func cell(_ column: Column, _ report: EvalReport) -> String {
        let isCompared = report.differences != nil
        let verdict = column.measure.flatMap { report.differences?[$0.rawValue]?.verdict }
        let mark = verdict?.mark ?? (isCompared ? " " : "")
        guard let value = column.value(report) else { return "-" + (isCompared ? " " : "") }
        let shown = value * column.factor
        return String(format: abs(shown) < 1e9 ? "%.\(column.digits)f" : "%.1e", shown) + mark
    }

    /// The end of a name, which says more than its start; a teacher's is a stranger's, and is escaped.
    public static func shortened(_ name: String) -> String {
        DisplayText.name(name, to: nameWidth)
    }
}
