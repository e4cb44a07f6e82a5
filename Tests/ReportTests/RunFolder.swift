import Distill
import Foundation
import TestSupport

/// A run's files as another program may have left them.
struct RunFolder {
    let url: URL

    init(_ folder: URL, _ name: String) throws {
        url = folder.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    /// A step's line.
    static func line(
        _ step: Int,
        of steps: Int,
        total: Double,
        ce: Double? = nil,
        more: String = ""
    ) -> String {
        "{\"step\": \(step), \"steps\": \(steps), \"epoch\": 0.5, \"losses\": {\"total\": \(total), "
            + "\"ce\": \(ce ?? total)}, \"learning_rate\": 1e-3, \"gradient_norm\": 0.5, \"tokens\": 100, "
            + "\"tokens_per_second\": 50.5, \"share_of_peak\": 0.5, \"seconds\": 2, \"data_seconds\": 0.01, "
            + "\"memory_mib\": 512, \"examples\": 8, \"cut\": 0, \"dropped\": 0\(more)}\n"
    }

    func append(_ text: String, to name: String = "metrics.jsonl") throws {
        let file = url.appendingPathComponent(name)
        if !FileManager.default.fileExists(atPath: file.path) { try Data().write(to: file) }
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }

    func finish(steps: Int) throws {
        let done = DoneRecordText.text(steps: steps)
        try Data(done.utf8).write(to: url.appendingPathComponent("done.json"))
    }
}

/// `done.json` by hand, so that a change of its keys is seen.
enum DoneRecordText {
    static func text(steps: Int) -> String {
        "{\"steps\": \(steps), \"skipped\": 0, \"losses\": {\"total\": 1}, \"weights_sha256\": \"00\", "
            + "\"settings\": {}, \"cache\": \"00\"}"
    }
}
