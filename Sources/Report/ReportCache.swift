import Cache
import Foundation
import Pages

/// What a cache is made of, for a report.
public struct ReportCache: Sendable {
    let path: String
    let summary: CacheSummary
    let lengths: CacheLengths?
    /// Why it may not be the runs' own; nil where it is.
    let doubt: String?

    /// Shards whose sequences are counted, and the bytes of the largest: each is read whole for its checksum.
    private static let shardsLookedAt = 4
    private static let mostBytes = 1 << 28

    /// - Throws: `CacheError`.
    public init(_ reader: CacheReader, path: String, doubt: String? = nil) throws {
        (self.path, self.doubt) = (path, doubt)
        summary = CacheSummary(reader.manifest)
        let largest = reader.manifest.shards.map(\.file.bytes).max() ?? 0
        lengths =
            largest <= Self.mostBytes
            ? try CacheLengths.read(reader, shards: Self.shardsLookedAt) : nil
    }

    var body: String {
        let megabytes = { (bytes: Int) in String(format: "%.1f MiB", Double(bytes) / 0x1p20) }
        let splits = summary.splits.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let facts: [(String, String)] = [
            ("Directory", path),
            ("Teacher", summary.teacher),
            ("Examples", "\(summary.records) (\(splits))"),
            ("Tokens", "\(summary.tokens), \(summary.rows) of them with the teacher's states"),
            (
                "Size",
                "\(megabytes(summary.shardBytes)) in \(summary.shards) shards, "
                    + String(format: "%.0f bytes a supervised token; ", summary.bytesPerRow)
                    + "the teacher's head \(megabytes(summary.teacherBytes))"
            ),
        ]
        let list = facts.map {
            "<dt>\($0.0)</dt><dd><bdi>\(Markup.shortened($0.1, to: 300))</bdi></dd>"
        }
        let table = Block.table(
            "What is stored of the teacher",
            ["signal", "raw", "stored", "ratio", "bytes a token"],
            summary.signals.map { signal in
                [
                    Block.Cell(signal.name), Block.Cell(megabytes(signal.rawBytes)),
                    Block.Cell(megabytes(signal.storedBytes)),
                    Block.Cell(
                        String(
                            format: "%.2f",
                            Double(signal.rawBytes) / Double(max(1, signal.storedBytes))
                        )
                    ), Block.Cell(String(format: "%.0f", signal.storedBytesPerRow)),
                ]
            }
        )
        var charts: [String] = []
        if let lengths {
            let part = lengths.shardsRead < lengths.shards
            let note = part ? "\(lengths.shardsRead) of \(lengths.shards) shards." : ""
            charts = [
                ("Tokens of an example", lengths.tokens),
                ("Supervised tokens of an example", lengths.rows),
            ].map { Block.figure(Self.chart($0.0, $0.1), note) }
        }
        return (doubt.map { Block.paragraph($0) } ?? "")
            + "<dl>\(list.joined())</dl>\n\(table)\n\(Block.pictures(charts))"
    }

    private static func chart(_ title: String, _ histogram: Histogram) -> Picture {
        let (left, right, top, bottom) = (62.0, 428.0, 40.0, 210.0)
        var picture = Picture(
            width: 440,
            height: 256,
            title: title,
            description:
                "From \(histogram.minimum) to \(histogram.maximum), median \(histogram.median), 95 of 100 at "
                + "most \(histogram.p95)."
        )
        picture.text(title, (left, 20), size: 15, bold: true)
        guard let first = histogram.bins.first, let last = histogram.bins.last else {
            return picture
        }
        let most = Double(histogram.bins.map(\.count).max() ?? 1)
        let x = Axis(low: Double(first.from), high: Double(last.to + 1), start: left, end: right)
        let y = Axis(low: 0, high: max(1, most * 1.05), start: bottom, end: top)
        picture.axes(x, y, labels: ("tokens", "examples"), hasColumns: false)
        for bin in histogram.bins {
            let (start, end) = (x.position(Double(bin.from)), x.position(Double(bin.to + 1)))
            let at = y.position(Double(bin.count))
            picture.rectangle(
                x: start + 1,
                y: at,
                width: max(1, end - start - 2),
                height: bottom - at,
                .blue,
                tip: "\(bin.from) to \(bin.to): \(bin.count)"
            )
        }
        return picture
    }
}
