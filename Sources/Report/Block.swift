import Pages

/// Pieces of HTML that sections are made of; all text is escaped here.
enum Block {
    /// A paragraph.
    static func paragraph(_ text: String, _ kind: String? = nil) -> String {
        "<p\(kind.map { " class=\"\($0)\"" } ?? "")>\(Markup.escaped(text))</p>"
    }

    /// A table that scrolls by itself where it is wider than the screen; the first column names the row.
    ///
    /// What it shows stands above it, where it does not scroll away, and in the table for those who hear it.
    static func table(
        _ caption: String,
        _ head: [String],
        _ rows: [[Cell]]
    ) -> String {
        let heads = head.map { "<th scope=\"col\">\(Markup.escaped($0))</th>" }.joined()
        let lines = rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == 0
                    ? "<th scope=\"row\"><bdi>\(Markup.escaped(cell.text))</bdi></th>"
                    : "<td\(cell.kind.map { " class=\"\($0)\"" } ?? "")>\(cell.markup)</td>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        return """
            <p class="caption" aria-hidden="true">\(Markup.escaped(caption))</p>
            <div class="wide" tabindex="0" role="region" aria-label="\(Markup.escaped(caption))">
            <table>
            <caption class="unseen">\(Markup.escaped(caption))</caption>
            <thead><tr>\(heads)</tr></thead>
            <tbody>
            \(lines.joined(separator: "\n"))
            </tbody>
            </table>
            </div>
            """
    }

    /// A table's cell.
    struct Cell {
        let text: String
        /// What stands under it in small letters.
        var note: String?
        /// Its class.
        var kind: String?
        /// What is read out besides.
        var spoken: String?

        init(_ text: String, note: String? = nil, kind: String? = nil, spoken: String? = nil) {
            (self.text, self.note, self.kind, self.spoken) = (text, note, kind, spoken)
        }

        fileprivate var markup: String {
            Markup.escaped(text)
                + (spoken.map { "<span class=\"unseen\"> \(Markup.escaped($0))</span>" } ?? "")
                + (note.map { "<small>\(Markup.escaped($0))</small>" } ?? "")
        }
    }

    /// Pictures side by side as far as the screen goes.
    static func pictures(_ figures: [String], isWide: Bool = false) -> String {
        guard !figures.isEmpty else { return "" }
        return
            "<div class=\"pictures\(isWide ? " maps" : "")\">\n\(figures.joined(separator: "\n"))\n</div>"
    }

    /// A picture with what is said of it; `more` folds away.
    static func figure(
        _ picture: Picture,
        _ caption: String = "",
        more: (title: String, markup: String)? = nil
    ) -> String {
        let text = caption.isEmpty ? "" : "<figcaption>\(Markup.escaped(caption))</figcaption>"
        let folded = more.map { fold($0.title, $0.markup) } ?? ""
        // A picture wider than a phone scrolls by itself, so a keyboard must reach it.
        return """
            <figure><div class="picture" tabindex="0" role="group" aria-label="\(Markup.escaped(picture.title))">
            \(picture.inline)
            </div>\(text)\(folded)</figure>
            """
    }

    /// Something that opens when it is asked for.
    static func fold(_ title: String, _ markup: String, isOpen: Bool = false) -> String {
        "<details\(isOpen ? " open=\"open\"" : "")><summary>\(Markup.escaped(title))</summary>\n\(markup)\n</details>"
    }
}
