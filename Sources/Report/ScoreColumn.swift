import Distill
import Scores

/// A figure of a report's score table.
struct ScoreColumn: Sendable {
    let title: String
    let measure: EvalMeasure?
    let value: @Sendable (EvalReport) -> Double?
    var digits = 4
    var factor = 1.0

    /// How a measure is called in sentences.
    static func name(_ measure: EvalMeasure) -> String {
        switch measure {
        case .crossEntropy: "loss a token"
        case .crossEntropyPerByte: "loss a byte"
        case .accuracy: "accuracy"
        case .kl: "KL"
        case .reverseKL: "reverse KL"
        case .topOneAgreement: "top-1 agreement"
        case .topFiveAgreement: "top-5 agreement"
        case .klNextByte: "KL of the next byte"
        case .reverseKLNextByte: "reverse KL of the next byte"
        case .nextByteAgreement: "same next byte"
        case .cosineStructure: "cosine structure distance"
        case .innerProductStructure: "inner-product structure distance"
        case .alignmentQuality: "alignment"
        case .rougeL: "ROUGE-L"
        case .exactMatch: "exact match"
        }
    }

    private static func column(
        _ measure: EvalMeasure,
        _ value: @escaping @Sendable (EvalReport) -> Double?,
        percent: Bool = false
    ) -> ScoreColumn {
        ScoreColumn(
            title: name(measure) + (percent ? ", %" : ""),
            measure: measure,
            value: value,
            digits: percent ? 2 : 4,
            factor: percent ? 100 : 1
        )
    }

    static let all: [ScoreColumn] = [
        column(.crossEntropy, { $0.crossEntropy }),
        ScoreColumn(title: "perplexity", measure: nil, value: { $0.perplexity }, digits: 2),
        column(.crossEntropyPerByte, { $0.crossEntropyPerByte }),
        column(.accuracy, { $0.accuracy }, percent: true),
        column(.kl, { $0.kl }), column(.reverseKL, { $0.reverseKL }),
        column(.topOneAgreement, { $0.topOneAgreement }, percent: true),
        column(.topFiveAgreement, { $0.topFiveAgreement }, percent: true),
        column(.klNextByte, { $0.klNextByte }),
        column(.reverseKLNextByte, { $0.reverseKLNextByte }),
        column(.nextByteAgreement, { $0.nextByteAgreement }, percent: true),
        column(.cosineStructure, { $0.cosineStructure }),
        column(.innerProductStructure, { $0.innerProductStructure }),
        ScoreColumn(title: "linear CKA", measure: nil, value: { $0.linearCKA }, digits: 3),
        column(.alignmentQuality, { $0.alignmentQuality }, percent: true),
        ScoreColumn(
            title: "alignment by chance, %",
            measure: nil,
            value: { $0.alignmentChance },
            digits: 2,
            factor: 100
        ),
        ScoreColumn(
            title: "ECE, %",
            measure: nil,
            value: { $0.calibration?.error },
            digits: 2,
            factor: 100
        ),
        column(.rougeL, { $0.rougeL }, percent: true),
        column(.exactMatch, { $0.exactMatch }, percent: true),
    ]

    func cell(_ report: EvalReport) -> Block.Cell {
        guard let value = value(report) else { return Block.Cell("–") }
        func shown(_ value: Double) -> String {
            RunWords.number(value * factor, digits: digits)
        }
        let interval = measure.flatMap { report.intervals?[$0.rawValue] }
        let note = interval.map { "\(shown($0.low)) – \(shown($0.high))" }
        switch measure.flatMap({ report.differences?[$0.rawValue]?.verdict }) {
        case .better:
            return Block.Cell(shown(value) + " +", note: note, kind: "better", spoken: "better")
        case .worse:
            return Block.Cell(shown(value) + " −", note: note, kind: "worse", spoken: "worse")
        case .undecided, nil: return Block.Cell(shown(value), note: note)
        }
    }
}
