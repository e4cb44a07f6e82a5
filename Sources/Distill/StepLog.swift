import Foundation

/// A line that belongs to a step.
protocol StepLine: Codable {
    /// From 1.
    var step: Int { get }
}

/// Lines of JSON, such as `metrics.jsonl`, appended; after a resume the file holds each step once.
final class StepLog<Line: StepLine> {
    private let file: AppendedFile
    private let encoder = JSONEncoder()
    /// The newest.
    private(set) var last: Line?

    /// Keeps the lines of steps up to `step` and drops those that will be made again.
    ///
    /// - Throws: `DistillError.file`.
    init(_ url: URL, keepingSteps step: Int) throws {
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let old = (try? Data(contentsOf: url)) ?? Data()
        let decoder = JSONDecoder()
        var kept = Data()
        for line in old.split(separator: UInt8(ascii: "\n")) {
            guard let found = try? decoder.decode(Line.self, from: Data(line)),
                found.step <= step
            else { continue }
            kept += line + [UInt8(ascii: "\n")]
            last = found
        }
        file = try AppendedFile(url, keeping: kept)
    }

    /// A line cut short by a full disk is dropped when the log is opened again.
    ///
    /// - Throws: `DistillError.file`.
    func append(_ value: Line) throws {
        try file.append(try encoder.encode(value) + Data("\n".utf8))
        last = value
    }
}
