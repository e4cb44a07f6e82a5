import Foundation

extension CacheDifference {
    /// For a terminal; texts out of the caches are escaped and cut.
    public var table: String {
        var lines: [String] = []
        if !settings.isEmpty {
            lines.append("settings (here: A, there: B)")
            lines += settings.map { "  " + DisplayText.shortened($0, to: 200) }
        }
        lines.append("examples  \(examplesOfA) in A, \(examplesOfB) in B, \(common) in both")
        for (words, examples) in [
            ("only in A", onlyInA), ("only in B", onlyInB), ("other tokens", otherTokens),
            ("other texts", otherTexts), ("other splits", otherSplits),
        ] where examples.count > 0 {
            let more = examples.count > 3 ? ", …" : ""
            lines.append(
                "  \(words): \(examples.count) (\(examples.first.prefix(3).joined(separator: ", "))\(more))"
            )
        }
        lines += teacherLines
        let sample = isComplete ? "all with the same tokens" : "a sample; --all for all"
        lines += ["", "signals of \(compared) examples (\(sample))"]
        lines += Self.table(signals)
        lines += ["", areEqual ? Self.equal(isComplete) : "the caches differ"]
        return lines.joined(separator: "\n")
    }

    private static func equal(_ isComplete: Bool) -> String {
        isComplete ? "the caches are equal" : "no difference was found"
    }

    private var teacherLines: [String] {
        var lines: [String] = []
        if !teacher.tokenizerFiles.isEmpty {
            let names = teacher.tokenizerFiles.map { DisplayText.escaped($0) }
            lines.append("  tokenizer: \(names.joined(separator: ", ")) differ")
        }
        if let first = teacher.logitScales.first, let last = teacher.logitScales.last {
            lines.append("  logit scale: \(first) in A, \(last) in B")
        }
        if teacher.embeddingIDs > 0 {
            lines.append("  embedding: \(teacher.embeddingIDs) rows are in one only")
        }
        let tables = teacher.tables.filter { !$0.areEqual }
        if !tables.isEmpty { lines += Self.table(tables) }
        return lines.isEmpty ? [] : ["teacher"] + lines
    }

    private static func table(_ signals: [Signal]) -> [String] {
        guard !signals.isEmpty else { return [] }
        var rows = [["array", "rows", "equal", "largest", "mean", "relative", ""]]
        for signal in signals {
            let name = DisplayText.escaped(signal.name)
            let note = signal.note.map { DisplayText.escaped($0) } ?? ""
            guard signal.rows > 0 else {
                rows.append([name, "0", "-", "-", "-", "-", note])
                continue
            }
            let share = 100 * Double(signal.equalRows) / Double(signal.rows)
            // 99.96 % is not all.
            let text =
                signal.equalRows == signal.rows
                ? "100 %" : String(format: "%.1f %%", min(share, 99.9))
            rows.append(
                [name, "\(signal.rows)", text]
                    + [signal.largest, signal.mean, signal.relative].map {
                        $0 == 0 ? "0" : String(format: "%.2e", $0)
                    } + [note]
            )
        }
        let widths = (0..<6).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }
            return "  " + cells.joined(separator: "  ") + (row[6].isEmpty ? "" : "  \(row[6])")
        }
    }
}
