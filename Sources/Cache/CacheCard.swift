import Foundation

/// The README.md of a cache: what it is, in a page.
enum CacheCard {
    static func text(
        description: CacheDescription,
        entries: [ShardEntry],
        counts: [String: Int]
    ) -> String {
        let teacher = description.teacher
        let bytes = entries.reduce(0) { $0 + $1.file.bytes }
        let splits = entries.reduce(into: [String: Int]()) {
            $0.merge($1.splits, uniquingKeysWith: +)
        }
        let splitLines = splits.keys.sorted().map { "- \($0): \(splits[$0] ?? 0) examples" }
        let countLines = counts.keys.sorted().map { "- \($0): \(counts[$0] ?? 0)" }
        return """
            ---
            license: other
            tags: [distillation, hidden-states, retort]
            ---
            # A cached teacher

            Final hidden states of \(teacher.name) (\(teacher.architecture), width \
            \(teacher.hiddenSize), \(teacher.vocabularySize) tokens), computed in \
            \(teacher.computeType) over \(description.dataset.name), for training students without \
            the teacher. The teacher's and the dataset's licences apply.

            \(splitLines.joined(separator: "\n"))
            - \(entries.reduce(0) { $0 + $1.tokens }) tokens, of which \
            \(entries.reduce(0) { $0 + $1.rows }) positions have rows
            - \(entries.count) shards, \(bytes) bytes

            Counts of the extraction:

            \(countLines.joined(separator: "\n"))

            `manifest.json` lists every file with its SHA-256; check them with `retort cache verify`.
            The shards are HDF5: in Python, `import hdf5plugin, h5py` opens every array.

            """
    }
}
