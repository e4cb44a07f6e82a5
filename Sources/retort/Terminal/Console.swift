import Foundation

/// What a person is told goes to standard error; what a program reads goes to standard output.
enum Console {
    /// Whether standard error is a terminal, where lines may be drawn over.
    static let isTerminal = isatty(STDERR_FILENO) == 1

    /// A copy of what was said, once a command has a run directory.
    nonisolated(unsafe) private static var log: FileHandle?

    /// Copies what is said from now on to a file, at its end.
    static func log(to url: URL) {
        try? FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        if !FileManager.default.fileExists(atPath: url.path) {
            try? Data().write(to: url)
        }
        log = try? FileHandle(forWritingTo: url)
        _ = try? log?.seekToEnd()
    }

    /// One line for a person.
    static func say(_ text: String) {
        write(text + "\n")
    }

    /// One line about what went wrong.
    static func error(_ text: String) {
        say("error: \(text)")
    }

    /// Text over the current line of a terminal. It is not logged.
    static func overwrite(_ text: String) {
        FileHandle.standardError.write(Data("\r\u{1B}[2K\(text)".utf8))
    }

    /// A result, to standard output.
    static func print(_ text: String) {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }

    private static func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
        try? log?.write(contentsOf: Data(text.utf8))
    }
}
