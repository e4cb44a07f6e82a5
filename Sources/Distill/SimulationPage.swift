import Foundation
import Pages

/// The pictures of a divergence, and the page that shows all.
enum SimulationPage {
    /// Three pictures of points on one scale, and the losses; each under its file's name.
    static func pictures(_ result: SimulationResult) -> [(name: String, svg: Picture)] {
        let name = result.divergence
        let square = SimulationChart.Square(
            around: result.before + result.teacher + result.different.student
                + result.shared.student
        )
        func points(_ title: String, _ student: [[Float]]) -> Picture {
            SimulationChart.points(
                "\(name): \(title)",
                student: student,
                teacher: result.teacher,
                within: square
            )
        }
        let heads = SimulationHeads.allCases.map {
            ($0.rawValue, points("after, \($0.title)", result.run($0).student))
        }
        let losses = SimulationChart.losses(
            "\(name): losses",
            different: result.different.losses,
            shared: result.shared.losses
        )
        return [("before", points("before", result.before))] + heads + [("loss", losses)]
    }

    /// One file with everything in it: it loads nothing and runs nothing, and is XML as well.
    static func html(_ results: [SimulationResult], _ report: SimulationReport) -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <title>Simulation: one head or two</title>
        <style>
        \(style)
        \(Picture.style)
        </style>
        </head>
        <body>
        <h1>Simulation: one head or two</h1>
        \(introduction(report))
        <h2>Numbers</h2>
        \(table(report))
        \(results.map(section).joined(separator: "\n"))
        </body>
        </html>

        """
    }

    private static let style = """
        :root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--faint:#d4d8dd}
        @media (prefers-color-scheme: dark){:root{--paper:#15181c;--ink:#e3e6ea;--faint:#3a4048}}
        body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
        margin:2rem auto;padding:0 1rem;max-width:112rem}
        p{max-width:48rem}
        .pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1rem}
        .pictures svg{width:100%;height:auto;border:1px solid var(--faint)}
        .wide{overflow-x:auto}
        table{border-collapse:collapse;font-variant-numeric:tabular-nums}
        th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid var(--faint)}
        th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}
        """

    private static func introduction(_ report: SimulationReport) -> String {
        func setting(_ key: SimulationSettings.CodingKeys) -> String {
            Markup.escaped(report.settings[key.rawValue] ?? "?")
        }
        return """
            <p>Figure 1 of <em>Dual-Space Knowledge Distillation for Large Language Models</em> \
            (Zhang et al., EMNLP 2024), computed anew. \(setting(.points)) points in the plane stand \
            for the hidden states of a student and of a teacher, \(setting(.classes)) classes for the \
            vocabulary. The student's points and its head learn by SGD (learning rate \
            \(setting(.learningRate)), \(setting(.steps)) steps, temperature \
            \(setting(.temperature)), seed \(setting(.seed))) on the \(setting(.reduction)) over the points of \
            D(teacher ‖ student).</p>
            <p>With <strong>different heads</strong> the teacher's distributions come from a head of \
            its own: the loss falls, and the student's points do not come to the teacher's. With a \
            <strong>shared head</strong> the teacher's points go through the student's head, without \
            gradient: by the same losses the student's points come to lie on the teacher's.</p>
            <p>Losses are means over the points, in nats. Distances are those of the plane. \
            <em>Between means</em> is from one cloud's mean to the other's; <em>between pairs</em> the \
            root mean square distance from a student's point to the teacher's point that it learns \
            from; <em>mixed</em> the share of points whose nearest neighbour belongs to the other \
            cloud; a <em>spread</em> the standard deviation of a coordinate.</p>
            """
    }

    private static func table(_ report: SimulationReport) -> String {
        func cells(_ texts: [String], _ tag: String = "td") -> String {
            "<tr>" + texts.map { "<\(tag)>\(Markup.escaped($0))</\(tag)>" }.joined()
                + "</tr>"
        }
        let rows = report.rows
        return """
            <div class="wide"><table>
            <thead>\(cells(SimulationReport.columns, "th"))</thead>
            <tbody>
            \(rows.map { cells($0) }.joined(separator: "\n"))
            </tbody>
            </table></div>
            """
    }

    private static func section(_ result: SimulationResult) -> String {
        let pictures = pictures(result).map(\.svg.inline).joined(separator: "\n")
        return """
            <h2>\(Markup.escaped(result.divergence))</h2>
            <div class="pictures">
            \(pictures)
            </div>
            """
    }
}
