import Foundation

extension FidelityReport {
    /// A table for each temperature, sorted by bytes, and how to read it.
    public var table: String {
        var lines = [
            "\(rows) rows of \(examples) examples of split \(split), teacher \(teacher); "
                + "exact: \(exact)"
        ]
        for temperature in temperatures {
            lines += ["", "temperature \(Self.plain(Double(temperature)))"]
            lines += TextTable.lines(block(temperature))
        }
        return (lines + [""] + legend).joined(separator: "\n")
    }

    private func block(_ temperature: Float) -> [[String]] {
        let head = [
            "option", "bytes/row", "deflate", "KL", "KL coarse", "kept", "TV", "top-1", "grad 1",
            "grad \(batchRows)", "grad all",
        ]
        let entries = options + [yardstick].compactMap { $0 }
        return [head]
            + entries.map { option in
                let found = option.at(temperature)
                let infinite = found != nil && found?.kl == nil ? "inf" : "-"
                return [
                    option.name, Self.bytes(option.bytesPerRow),
                    Self.bytes(option.deflatedBytesPerRow),
                    found?.kl.map(Self.short) ?? infinite, Self.cell(found?.klCoarse),
                    found?.keptMass.map { String(format: "%.1f %%", $0 * 100) } ?? "-",
                    Self.cell(found?.totalVariation),
                    found == nil
                        ? "-" : option.sameTop.map { String(format: "%.2f %%", $0 * 100) } ?? "-",
                    Self.cell(found?.gradientToken), Self.cell(found?.gradientBatch),
                    Self.cell(found?.gradientAll),
                ]
            }
    }

    private var legend: [String] {
        var lines = [
            "bytes/row: packed with LZ4; deflate: packed with that (retort cache recompress --codec deflate).",
            "KL: KL(exact || option), nats a row, all tokens (a ghost's mass spread evenly). "
                + "KL coarse: the tokens not kept",
            "as one (ghost), or left out of both sides (renormalised). kept: exact mass of the "
                + "tokens kept. TV: half of",
            "sum |p - q|. grad: relative error of the gradient of KL by the student's logits, of "
                + "1 row, of sums over \(batchRows)",
            "rows and over all: what averages out falls from left to right, a bias stays. "
                + "Student: \(student).",
            "Options with hidden states also need the head: teacher.h5, \(teacherBytes) bytes "
                + "once. docs/fidelity.md has it all.",
        ]
        let notes = options.compactMap { option in option.note.map { "\(option.name): \($0)" } }
        if !notes.isEmpty { lines += [""] + notes }
        lines.append("")
        guard let yardstick else {
            lines.append(
                "yardstick: not measured. With --teacher MODEL the teacher is run in f32 and in "
                    + "bf16: what is below"
            )
            lines.append("that noise nobody can tell from the teacher itself.")
            return lines
        }
        if let note = yardstick.note { return lines + ["yardstick: not measured, \(note)"] }
        for temperature in temperatures {
            let title = "below the yardstick at temperature \(Self.plain(Double(temperature)))"
            let parts: [(String, KeyPath<FidelityFigures, Double?>)] = [
                ("KL", \.kl), ("grad \(batchRows)", \.gradientBatch),
            ]
            for (name, figure) in parts {
                guard let limit = yardstick.at(temperature)?[keyPath: figure] else { continue }
                let names = belowYardstick(figure, temperature: temperature).map(\.name)
                lines.append(
                    "\(title), \(name) \(Self.short(limit)): "
                        + (names.isEmpty ? "none" : names.joined(separator: "; "))
                )
            }
        }
        return lines
    }

    private static func bytes(_ value: Double?) -> String {
        value.map { String(format: "%.0f", $0) } ?? "-"
    }

    private static func cell(_ value: Double?) -> String { value.map(short) ?? "-" }

    /// Three digits.
    private static func short(_ value: Double) -> String {
        if value == 0 { return "0" }
        return String(format: abs(value) < 1e-3 ? "%.1e" : "%.4f", value)
    }

    /// Without zeros at the end.
    static func plain(_ value: Double) -> String { String(format: "%g", value) }
}
