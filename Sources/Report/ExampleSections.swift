import Distill
import Foundation
import Pages

/// The examples that a model does best and worst on.
struct ExampleSections {
    private let evals: [ReportEval]

    init(_ evals: [ReportEval]) { self.evals = evals }

    /// Of each kind.
    private static let count = 6

    var body: String {
        let blocks = evals.flatMap { eval in
            eval.exampled.compactMap { name, examples in block(name, examples) }
        }
        guard !blocks.isEmpty else { return "" }
        let folded = blocks.enumerated().map { index, block in
            Block.fold(block.title, block.markup, isOpen: index == 0)
        }
        let note =
            "“Teacher” is what it held the most likely at each place, having read the reference up to there: a cache "
            + "holds no free answer of it. A student’s own answer is generated freely; what is best of a weak one may still "
            + "be poor."
        return Block.paragraph(note, "soft") + folded.joined(separator: "\n")
    }

    /// How well a model does on an example: the higher the better.
    private static func score(_ example: EvalExample, _ model: EvalExample.Model) -> Double {
        model.rougeL ?? (example.teacher.crossEntropyPerByte - model.crossEntropyPerByte)
    }

    private func block(
        _ name: String,
        _ examples: [(EvalExample, EvalExample.Model)]
    ) -> (title: String, markup: String)? {
        var scored = examples.map { ($0, $1, Self.score($0, $1)) }
        guard !scored.isEmpty else { return nil }
        // Equal ones in an order that does not depend on the file's.
        scored.sort { ($0.2, $0.0.id) < ($1.2, $1.0.id) }
        let worst = scored.prefix(Self.count)
        let best = scored.suffix(min(Self.count, scored.count - worst.count)).reversed()
        let hasAnswers = scored.contains { $0.1.answer != nil }
        let by = hasAnswers ? "ROUGE-L of its answers" : "its loss above the teacher's"
        func part(_ title: String, _ found: some Sequence<(EvalExample, EvalExample.Model, Double)>)
            -> String
        {
            let items = found.map { Self.markup($0.0, $0.1) }
            return items.isEmpty ? "" : "<h3>\(title)</h3>\n\(items.joined(separator: "\n"))"
        }
        return (
            "\(name): the worst and best examples by \(by)",
            part("Worst", worst) + "\n" + part("Best", best)
        )
    }

    private static func markup(_ example: EvalExample, _ model: EvalExample.Model) -> String {
        func text(_ title: String, _ text: String) -> String {
            let said =
                text.isEmpty
                ? "<p class=\"soft\">(nothing)</p>"
                : "<div class=\"said\" tabindex=\"0\" role=\"group\" aria-label=\"\(title)\" dir=\"auto\">"
                    + "\(Markup.shortened(text, to: ReportPage.textLimit))</div>"
            return "<div><h5>\(title)</h5>\(said)</div>"
        }
        let prompt =
            example.input.isEmpty ? example.prompt : "\(example.prompt)\n\n\(example.input)"
        var figures = ["loss a byte \(RunWords.number(model.crossEntropyPerByte, digits: 3))"]
        figures.append(
            "the teacher's \(RunWords.number(example.teacher.crossEntropyPerByte, digits: 3))"
        )
        if let rouge = model.rougeL {
            figures.insert("ROUGE-L \(RunWords.number(100 * rouge, digits: 1))", at: 0)
        }
        return """
            <article class="example">
            <h4>\(Markup.escaped(figures.joined(separator: ", ")))</h4>
            <div class="texts">
            \(text("Prompt", prompt))
            \(text("Reference", example.reference))
            \(text("Teacher", example.teacher.text))
            \(model.answer.map { text("Student", $0) } ?? "")
            </div>
            </article>
            """
    }
}
