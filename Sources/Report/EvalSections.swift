import Cache
import Distill
import Foundation
import Pages

/// What was measured of models, for a report.
struct EvalSections {
    private let evals: [ReportEval]

    init(_ evals: [ReportEval]) { self.evals = evals }

    /// What to do where there is nothing to show.
    private static let remedy =
        "Nothing was measured beside these runs. `retort run` does it at its end; or: retort eval RUN… --cache CACHE "
        + "--output eval.json, in the directory that holds the runs."

    /// One table a file: models side by side, a row a figure, so that it can be read on a phone.
    var scores: String {
        guard !evals.isEmpty else { return Block.paragraph(Self.remedy) }
        return evals.map { eval in
            let columns = ScoreColumn.all.filter { column in
                eval.reports.contains { column.value($0) != nil }
            }
            let baseline = eval.reports.compactMap(\.baseline).first
            let table = Block.table(
                caption(eval),
                ["figure"] + eval.reports.map(\.name),
                columns.map { column in
                    [Block.Cell(column.title)] + eval.reports.map(column.cell)
                }
            )
            let marks = baseline.map {
                " + and −, green and red: better and worse than \($0) in 95 of 100 samples of as many examples."
            }
            let note =
                "Small figures: 95 % intervals, by drawing the examples anew. Lower is better for losses, KL, structure "
                + "distances and ECE, higher for the rest; the first column is the teacher."
                + (marks ?? "")
            return table + Block.paragraph(note, "soft")
        }.joined(separator: "\n")
    }

    private func caption(_ eval: ReportEval) -> String {
        let first = eval.reports.first
        let place = eval.url.pathComponents.suffix(2).joined(separator: "/")
        return "\(place): split \(first?.split ?? "?"), \(first?.examples ?? 0) examples"
    }

    /// A diagram a model, the teacher's first.
    var calibration: String {
        let figures = evals.flatMap { eval in
            eval.reports.compactMap { report in
                report.calibration.map { Block.figure(CalibrationChart.picture(report.name, $0)) }
            }
        }
        guard !figures.isEmpty else { return "" }
        let note =
            "Where bars end at the dashed line, a model is right as often as it is sure. Below it, it is too sure. "
            + "The darker a bar, the more tokens it has. ECE is the mean gap, weighed by tokens."
        return Block.paragraph(note, "soft") + Block.pictures(figures)
    }

    /// The teacher's and a student's arrangement of the tokens of a text, side by side.
    var similarity: String {
        let maps = evals.flatMap { eval in
            eval.mapped.compactMap { name, model in model.similarity.first.map { (name, $0) } }
        }
        guard !maps.isEmpty else { return "" }
        var figures: [String] = []
        var shownTeachers: Set<[[Double]]> = []
        for (name, map) in maps {
            let tokens = Self.tokens(map.tokens)
            func picture(_ title: String, _ values: [[Double]]) -> String {
                Block.figure(
                    TokenMap(
                        title: title,
                        rows: ("token read last", tokens),
                        columns: ("token read last", tokens),
                        values: Self.clipped(values),
                        measure: "cosine of final states",
                        range: (-1, 1)
                    ).picture()
                )
            }
            // Students of one vocabulary stop at the same places: one picture of the teacher will do for them.
            if shownTeachers.insert(map.teacher).inserted {
                figures.append(picture("Teacher", map.teacher))
            }
            figures.append(picture(name, map.student))
        }
        let note =
            "How alike the final hidden states are after each token of one held-out text: a student that has learnt "
            + "the teacher's arrangement has the teacher's pattern. The table above has the mean difference over all "
            + "texts (cosine structure distance) and linear CKA."
        return Block.paragraph(note, "soft") + Block.pictures(figures, isWide: true)
    }

    /// Where each of a student's tokens looks among the teacher's.
    var alignment: String {
        let figures = evals.flatMap { eval in
            eval.mapped.flatMap { name, model in
                model.alignments.prefix(EvalMaps.examples).enumerated().map { index, found in
                    let example = found.clipped
                    return Block.figure(
                        TokenMap(
                            title: "\(name), held-out text \(index + 1)",
                            rows: ("student’s tokens", Self.tokens(example.student.labels)),
                            columns: ("teacher’s tokens", Self.tokens(example.teacher.labels)),
                            values: Self.clipped(example.toStudent),
                            measure: "weight",
                            range: (0, 1),
                            marksLargest: true
                        ).picture(),
                        "\(found.overlap.overlapping) of \(found.overlap.tokens) tokens look most at a token of the same "
                            + "characters (of the whole text; special tokens do not count)."
                    )
                }
            }
        }
        guard !figures.isEmpty else { return "" }
        let note =
            "What cross-model attention matches in held-out answers: each row is a token of the student, its cells the "
            + "weights over the teacher's tokens. Matches of the same characters lie near the diagonal; "
            + "· is a space."
        return Block.paragraph(note, "soft") + Block.pictures(figures, isWide: true)
    }

    /// A stranger's file may hold more than we write, and longer texts.
    private static func tokens(_ texts: [String]) -> [String] {
        texts.prefix(EvalMaps.positions).map { DisplayText.cut($0, to: 24) }
    }

    private static func clipped(_ values: [[Double]]) -> [[Double]] {
        values.prefix(EvalMaps.positions).map { Array($0.prefix(EvalMaps.positions)) }
    }
}
