import Foundation
import Logging

/// The log of a run directory: one line an event, with time and level.
struct RunLog: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    private let file: FileHandle

    /// Opens a file at its end, making it and the directories above it where they are missing.
    init(_ url: URL) throws {
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        if !FileManager.default.fileExists(atPath: url.path) { try Data().write(to: url) }
        file = try FileHandle(forWritingTo: url)
        try file.seekToEnd()
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let time = Date().formatted(.iso8601)
        let text = event.message.description.replacingOccurrences(of: "\n", with: "\n    ")
        // A log that cannot be written, as on a full disk, must not end the run.
        try? file.write(contentsOf: Data("\(time) \(event.level) \(text)\n".utf8))
    }
}
