import Foundation

/// The README.md of a cache: what it is, in a page that Hugging Face shows as a data set's card.
///
/// It follows from the manifest and these words alone: no time stamps, no paths.
public struct CacheCard: Sendable {
    /// What only a person can say.
    public struct Words: Sendable, Equatable {
        /// The licence under which the cache may be passed on; nil: not known.
        public var license: License?
        /// Languages of the texts, as `en` or `pt-BR`.
        public var languages: [String]
        /// A title; nil makes one of the teacher's and the data's names.
        public var name: String?

        /// Words of these parts; none are needed.
        public init(license: License? = nil, languages: [String] = [], name: String? = nil) {
            self.license = license
            self.languages = languages
            self.name = name
        }

        /// Whether `text` looks like a language that Hugging Face knows.
        public static func isLanguage(_ text: String) -> Bool {
            text == "multilingual" || text == "code"
                || text.wholeMatch(of: /[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}/) != nil
        }
    }

    let manifest: CacheManifest
    let words: Words
    let summary: CacheSummary

    /// A card of the cache that `manifest` describes; its `checksum` and `readme` do not matter.
    public init(_ manifest: CacheManifest, _ words: Words = Words()) {
        self.manifest = manifest
        self.words = words
        summary = CacheSummary(manifest)
    }

    /// The whole file.
    public var text: String {
        ([frontMatter, "# \(Markdown.text(title))"] + sections).joined(separator: "\n\n") + "\n"
    }

    private var title: String {
        let name = words.name ?? ""
        let description = manifest.description
        return name.isEmpty
            ? "\(description.teacher.name) over \(description.dataset.name), cached for distillation"
            : name
    }

    // MARK: Front matter

    private var frontMatter: String {
        var lines = ["---"]
        switch words.license {
        case nil: lines.append("license: unknown")
        case .known(let id)?: lines.append("license: \(id)")
        case .other(let name)?:
            lines += ["license: other", "license_name: \(YAML.quoted(name))"]
        }
        if !words.languages.isEmpty {
            lines += ["language:"] + words.languages.map { "- \(YAML.quoted($0))" }
        }
        lines.append("pretty_name: \(YAML.quoted(title))")
        lines += ["tags:"] + tags.map { "- \($0)" }
        lines += ["task_categories:", "- text-generation", "size_categories:"]
        lines.append("- \(Self.sizeCategory(summary.records))")
        lines += ["source_datasets:", "- \(YAML.quoted(manifest.description.dataset.name))"]
        // Nobody's viewer makes sense of these arrays.
        return (lines + ["viewer: false", "---"]).joined(separator: "\n")
    }

    private var tags: [String] {
        ["knowledge-distillation", "hidden-states"]
            + (manifest.description.hasLogits ? ["logits"] : []) + ["hdf5", "retort"]
    }

    /// Hugging Face's name for so many examples.
    static func sizeCategory(_ count: Int) -> String {
        let steps = [
            (1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"),
            (10_000_000, "10M"), (100_000_000, "100M"), (1_000_000_000, "1B"),
            (10_000_000_000, "10B"), (100_000_000_000, "100B"), (1_000_000_000_000, "1T"),
        ]
        guard let upper = steps.firstIndex(where: { count < $0.0 }) else { return "n>1T" }
        return upper == 0 ? "n<1K" : "\(steps[upper - 1].1)<n<\(steps[upper].1)"
    }
}
