import Cache
import Foundation
import Pages

/// Numbers between two rows of tokens, with their texts on both axes.
struct TokenMap {
    let title: String
    /// What lies on each axis, and its tokens: rows go down.
    let rows: (label: String, tokens: [String])
    /// See `rows`.
    let columns: (label: String, tokens: [String])
    /// (rows, columns), -1 to 1; what is missing is 0.
    let values: [[Double]]
    /// What a value is, for the tip of a cell and the scale.
    let measure: String
    /// Of 0 and of the fullest colour, for the scale.
    let range: (low: Double, high: Double)
    /// Marks the largest of each row.
    var marksLargest = false

    private static let steps = 8, stepWidth = 9.0
    private static let cell = 13.0, letter = 6.2, longest = 12

    /// The picture: blue above 0 and vermilion below, the fuller the further.
    func picture() -> Picture {
        let names = (rows.tokens.map(Self.shown), columns.tokens.map(Self.shown))
        let left = 34 + Self.letter * Double(names.0.map(\.unicodeScalars.count).max() ?? 0)
        let top = 52 + Self.letter * Double(names.1.map(\.unicodeScalars.count).max() ?? 0)
        let size = (
            Self.cell * Double(max(1, columns.tokens.count)),
            Self.cell * Double(max(1, rows.tokens.count))
        )
        let width = left + max(size.0, scaleWidth) + 12
        let height = top + size.1 + 44
        var picture = Picture(
            width: width,
            height: height,
            title: title,
            description: "\(rows.label) by \(columns.label): \(measure). \(largest)"
        )
        picture.text(title, (8, 18), size: 14, bold: true)
        picture.text(columns.label, (left, 38), size: 12)
        picture.text(
            rows.label,
            (14, top + size.1 / 2),
            anchor: .middle,
            size: 12,
            upright: true
        )
        picture.rectangle(x: left, y: top, width: size.0, height: size.1, .faint, opacity: 0.25)
        for (row, name) in names.0.enumerated() {
            let y = top + Self.cell * Double(row)
            picture.text(name, (left - 5, y + 10), anchor: .end, size: 10.5)
            cells(row, left, y, names, in: &picture)
        }
        for (column, name) in names.1.enumerated() {
            let x = left + Self.cell * Double(column) + 10
            picture.text(name, (x, top - 5), size: 10.5, upright: true)
        }
        scale(from: left, y: top + size.1 + 14, in: &picture)
        return picture
    }

    private func cells(
        _ row: Int,
        _ left: Double,
        _ y: Double,
        _ names: ([String], [String]),
        in picture: inout Picture
    ) {
        guard row < values.count else { return }
        let numbers = values[row].prefix(columns.tokens.count)
        let best = marksLargest ? numbers.indices.max { numbers[$0] < numbers[$1] } : nil
        for (column, value) in numbers.enumerated() where value.isFinite {
            let strength = min(1, abs(value) / max(range.high, 1e-9))
            let x = left + Self.cell * Double(column)
            if strength > 0.02 {
                picture.rectangle(
                    x: x,
                    y: y,
                    width: Self.cell - 0.6,
                    height: Self.cell - 0.6,
                    value < 0 ? .vermilion : .blue,
                    opacity: strength,
                    tip: "\(names.0[row]) – \(names.1[column]): "
                        + String(format: "%.3f", value)
                )
            }
            if column == best {
                picture.circle((x + Self.cell / 2, y + Self.cell / 2), .orange, radius: 3)
            }
        }
    }

    private func scale(from left: Double, y: Double, in picture: inout Picture) {
        let colours =
            range.low < 0 ? [(-1.0, Picture.Paint.vermilion), (1.0, .blue)] : [(1.0, .blue)]
        var x = left
        picture.text(Axis.label(range.low), (x - 4, y + 10), anchor: .end, size: 11)
        for (sign, paint) in colours {
            for step in 0..<Self.steps {
                let share = (Double(step) + 0.5) / Double(Self.steps)
                picture.rectangle(
                    x: x,
                    y: y,
                    width: Self.stepWidth,
                    height: 12,
                    paint,
                    opacity: sign < 0 ? 1 - share : share
                )
                x += Self.stepWidth
            }
        }
        picture.text(scaleText, (x + 5, y + 10), size: 11)
    }

    private var scaleText: String {
        let mark = marksLargest ? "; ○ the largest of a row" : ""
        return "\(Axis.label(range.high))  \(measure)\(mark)"
    }

    private var scaleWidth: Double {
        let steps = Double(range.low < 0 ? 2 * Self.steps : Self.steps)
        return steps * Self.stepWidth + 5 + Self.letter * Double(scaleText.count)
    }

    /// For those who do not see the picture: where each row is strongest.
    private var largest: String {
        guard marksLargest else { return "" }
        return values.enumerated().compactMap { row, numbers in
            guard row < rows.tokens.count,
                let best = numbers.indices.max(by: { numbers[$0] < numbers[$1] }),
                best < columns.tokens.count
            else { return nil }
            return "“\(rows.tokens[row])” looks most at “\(columns.tokens[best])”."
        }.joined(separator: " ")
    }

    /// Spaces are seen, long tokens cut.
    private static func shown(_ token: String) -> String {
        let text = DisplayText.cut(token, to: longest)
        let seen = text.replacing(" ", with: "·").replacing("\n", with: "↵").replacing(
            "\t",
            with: "⇥"
        )
        return seen + (text.utf8.count < token.utf8.count ? "…" : "")
    }
}
