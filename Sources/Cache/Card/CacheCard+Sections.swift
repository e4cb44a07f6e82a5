import Foundation

extension CacheCard {
    /// The body after the title.
    var sections: [String] {
        [
            introduction, teacherTable, settingsTable, splitsTable, signalsTable, python, retort,
            verifying, obligations,
        ]
    }

    private var introduction: String {
        let description = manifest.description
        let logits = description.hasLogits ? " and log-probabilities" : ""
        return """
            What the language model \(Markdown.code(description.teacher.name)) computes over \
            \(Markdown.code(description.dataset.name)): its final hidden states\(logits) at \
            \(summary.rows) positions of \(summary.records) examples, with the texts, the token \
            ids, the model's output head and its tokenizer. Smaller models are distilled from it \
            without running the large one again. Made by Retort.
            """
    }

    private var teacherTable: String {
        let teacher = manifest.description.teacher
        return section(
            "Teacher",
            [
                ("name", Markdown.code(teacher.name)),
                ("architecture", Markdown.code(teacher.architecture)),
                ("width of the hidden states", "\(teacher.hiddenSize)"),
                ("rows of the head", "\(teacher.vocabularySize)"),
                ("precision of its products", Markdown.code(teacher.computeType)),
                ("cap of its logits", teacher.logitSoftCap.map { "\($0)" } ?? "none"),
                ("SHA-256 of its weights", Markdown.code(teacher.weightsSHA256)),
                (
                    "tokenizer's fingerprint",
                    Markdown.code(manifest.description.tokenizer.fingerprint)
                ),
            ]
        )
    }

    private var settingsTable: String {
        let description = manifest.description
        let signals = description.signals
        var rows = [
            ("format version", "\(description.formatVersion)"),
            ("data", Markdown.code(description.dataset.name)),
            ("SHA-256 of the data", Markdown.code(description.dataset.sha256)),
            ("prompt template", Markdown.code(description.template)),
            ("longest prompt, tokens", "\(description.maxPromptLength)"),
            ("longest sequence, tokens", "\(description.maxLength)"),
            ("positions with rows", signals.positions.rawValue),
        ]
        for count in manifest.counts.keys.sorted() {
            rows.append(("counted: \(Markdown.text(count))", "\(manifest.counts[count] ?? 0)"))
        }
        return section("Settings", rows)
    }

    private var splitsTable: String {
        let splits = manifest.splits
        let rows = splits.keys.sorted().map { (Markdown.code($0), "\(splits[$0] ?? 0)") }
        return """
            ## Splits and sizes

            \(Markdown.table(["split", "examples"], rows.map { [$0.0, $0.1] }))

            \(summary.tokens) tokens, \(summary.rows) rows (one for each of the positions that \
            have them), \(summary.shards) shards of \(summary.shardBytes) bytes together, and \
            \(summary.teacherBytes) bytes for the head, the embedding rows that occur and the \
            tokenizer.
            """
    }

    private var signalsTable: String {
        let rows = summary.signals.map { signal in
            [
                signal.name, signal.arrays.map { Markdown.code($0) }.joined(separator: ", "),
                Self.decimal(Double(signal.rawBytes) / Double(max(1, summary.rows))),
                Self.decimal(signal.storedBytesPerRow),
            ]
        }
        let head = ["signal", "arrays", "bytes a position", "on disk"]
        return """
            ## Signals

            \(Markdown.table(head, rows))

            All of a shard, texts and tokens included: \(Self.decimal(summary.bytesPerRow)) bytes a \
            position on disk.
            """
    }

    private var retort: String {
        """
        ## With Retort

        ```
        retort cache inspect CACHE --example 0
        retort distill --set cache=CACHE --set student.from=STUDENT --set output=RUN \\
          --set criterion=dskd_cma
        retort cache export CACHE OUT --format safetensors
        ```
        """
    }

    private var verifying: String {
        """
        ## Is it whole?

        `manifest.json` names every file with its size and SHA-256, and `retort cache verify CACHE` \
        compares them all; damage is named by file, array and chunk. A reader compares a shard's \
        SHA-256 before it uses it.
        """
    }

    private var obligations: String {
        let description = manifest.description
        let own =
            switch words.license {
            case nil: "No licence was named for this cache."
            case .known(let id)?: "This cache is passed on under \(Markdown.code(id))."
            case .other(let name)?: "This cache is passed on under \(Markdown.code(name))."
            }
        return """
            ## Obligations

            \(own) It holds **the texts of the data set in full**, as text and as token ids, and \
            the teacher's output head, embedding rows and tokenizer. So the licence and the terms \
            of use of \(Markdown.code(description.teacher.name)) and of \
            \(Markdown.code(description.dataset.name)) apply to it, and may apply to models that \
            are trained from it; some forbid passing on, some forbid training other models. \
            Whatever is personal in the data set is in here too.
            """
    }

    private func section(_ title: String, _ rows: [(String, String)]) -> String {
        "## \(title)\n\n" + Markdown.table(["", ""], rows.map { [$0.0, $0.1] })
    }

    private static func decimal(_ value: Double) -> String { String(format: "%.1f", value) }
}
