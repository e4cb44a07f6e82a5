import Foundation

/// What a cache holds and what it costs, from the manifest alone.
public struct CacheSummary: Codable, Sendable, Equatable {
    /// One array over all shards.
    public struct Item: Codable, Sendable, Equatable {
        /// Name of the array.
        public var name: String
        /// Bytes of its elements.
        public var rawBytes: Int
        /// Bytes on disk.
        public var storedBytes: Int
        /// Bytes on disk for each supervised position.
        public var storedBytesPerRow: Double
    }

    /// Name of the teacher.
    public var teacher: String
    /// Examples of each split.
    public var splits: [String: Int]
    /// What the extractor counted.
    public var counts: [String: Int]
    /// Examples.
    public var records: Int
    /// Tokens of all sequences.
    public var tokens: Int
    /// Supervised positions.
    public var rows: Int
    /// Shards.
    public var shards: Int
    /// Bytes of the shards.
    public var shardBytes: Int
    /// Bytes of `teacher.h5`.
    public var teacherBytes: Int
    /// Bytes of the shards for each token of a sequence.
    public var bytesPerToken: Double
    /// Bytes of the shards for each supervised position.
    public var bytesPerRow: Double
    /// Which positions have rows: `supervised` or `all`.
    public var positions: String
    /// What is stored of the teacher for each row.
    public var signals: [Signal]
    /// The shards' arrays, sorted by name.
    public var arrays: [Item]

    /// Adds up what `manifest` says.
    public init(_ manifest: CacheManifest) {
        teacher = manifest.description.teacher.name
        splits = manifest.splits
        counts = manifest.counts
        let shards = manifest.shards
        records = shards.reduce(0) { $0 + $1.records }
        tokens = shards.reduce(0) { $0 + $1.tokens }
        let rows = shards.reduce(0) { $0 + $1.rows }
        self.rows = rows
        self.shards = shards.count
        shardBytes = shards.reduce(0) { $0 + $1.file.bytes }
        teacherBytes = manifest.teacher.bytes
        bytesPerToken = Double(shardBytes) / Double(max(1, tokens))
        bytesPerRow = Double(shardBytes) / Double(max(1, rows))
        var totals: [String: ArrayBytes] = [:]
        for (name, bytes) in shards.flatMap(\.file.arrays) {
            let sum = totals[name] ?? ArrayBytes(raw: 0, stored: 0)
            totals[name] = ArrayBytes(
                raw: sum.raw + bytes.raw,
                stored: sum.stored + bytes.stored
            )
        }
        positions = manifest.description.signals.positions.rawValue
        signals = Self.signals(manifest.description).map { name, arrays in
            let parts = arrays.compactMap { totals[$0] }
            let stored = parts.reduce(0) { $0 + $1.stored }
            return Signal(
                name: name,
                arrays: arrays,
                rawBytes: parts.reduce(0) { $0 + $1.raw },
                storedBytes: stored,
                storedBytesPerRow: Double(stored) / Double(max(1, rows))
            )
        }
        arrays = totals.keys.sorted().map { name in
            let bytes = totals[name] ?? ArrayBytes(raw: 0, stored: 0)
            return Item(
                name: name,
                rawBytes: bytes.raw,
                storedBytes: bytes.stored,
                storedBytesPerRow: Double(bytes.stored) / Double(max(1, rows))
            )
        }
    }

    /// A table for a terminal; names are escaped, for they may be a stranger's.
    public var table: String {
        let safe = { DisplayText.escaped($0) }
        var lines = ["teacher   \(safe(teacher))"]
        for split in splits.keys.sorted() {
            lines.append("split     \(safe(split)): \(splits[split] ?? 0) examples")
        }
        for count in counts.keys.sorted() {
            lines.append("count     \(safe(count)): \(counts[count] ?? 0)")
        }
        lines.append("tokens    \(tokens), rows for \(rows) \(positions) positions")
        lines.append(
            "bytes     \(shardBytes) in \(shards) shards (\(decimal(bytesPerToken)) a token, "
                + "\(decimal(bytesPerRow)) a position), teacher.h5 \(teacherBytes)"
        )
        let parts = [
            ("signal", signals.map { ($0.name, $0.rawBytes, $0.storedBytes) }),
            ("array", arrays.map { ($0.name, $0.rawBytes, $0.storedBytes) }),
        ]
        for (title, items) in parts {
            lines.append("")
            lines.append(row(title, "raw", "stored", "ratio", "a row"))
            for (name, raw, stored) in items {
                lines.append(
                    row(
                        safe(name),
                        "\(raw)",
                        "\(stored)",
                        decimal(Double(raw) / Double(max(1, stored))),
                        decimal(Double(stored) / Double(max(1, rows)))
                    )
                )
            }
        }
        return lines.joined(separator: "\n")
    }

    private func row(_ name: String, _ cells: String...) -> String {
        let widths = [14, 14, 8, 12]
        let first = name + String(repeating: " ", count: max(1, 32 - name.count))
        return zip(cells, widths).reduce(into: first) { line, cell in
            line += String(repeating: " ", count: max(1, cell.1 - cell.0.count)) + cell.0
        }
    }

    private func decimal(_ value: Double) -> String { String(format: "%.2f", value) }
}
