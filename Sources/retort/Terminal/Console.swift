import Cache
import Foundation
import Logging
import Synchronization

/// What a person is told goes to standard error; what a program reads goes to standard output.
enum Console {
    /// Whether standard error is a terminal, where lines may be drawn over.
    static let isTerminal = isatty(STDERR_FILENO) == 1

    /// Keeps what was said, once a command has a run directory.
    private static let log = Mutex<Logger?>(nil)

    private static let isHushed = Atomic(false)

    /// From now on only errors are told: of processes that train together, one speaks.
    static func hush() { isHushed.store(true, ordering: .relaxed) }

    /// Copies what is said from now on to a file, at its end.
    ///
    /// - Throws: What the file system says when the file cannot be made.
    static func log(to url: URL) throws {
        let handler = try RunLog(url)
        log.withLock { $0 = Logger(label: "retort") { _ in handler } }
    }

    /// One line for a person; names in it may be a stranger's, and are escaped.
    static func say(_ text: String) {
        guard !isHushed.load(ordering: .relaxed) else { return }
        let text = DisplayText.escaped(text, keepsLines: true)
        write(text + "\n", to: .standardError)
        log.withLock { $0?.info("\(text)") }
    }

    /// One line about what went wrong; names in it may be a stranger's, and are escaped.
    static func error(_ text: String) {
        let text = DisplayText.escaped(text, keepsLines: true)
        write("error: \(text)\n", to: .standardError)
        log.withLock { $0?.error("\(text)") }
    }

    /// Text over the current line of a terminal, as much of it as fits: a line that wraps is drawn over in
    /// part only.
    ///
    /// It is not logged.
    static func overwrite(_ text: String) {
        guard !isHushed.load(ordering: .relaxed) else { return }
        write(
            "\r\u{1B}[2K\(text.prefix(max(20, size(of: STDERR_FILENO).columns - 1)))",
            to: .standardError
        )
    }

    /// Columns and rows of a terminal; 80 and 24 where there is none.
    static func size(of descriptor: Int32) -> (columns: Int, rows: Int) {
        var size = winsize()
        let isKnown = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return isKnown ? (Int(size.ws_col), Int(size.ws_row)) : (80, 24)
    }

    /// Ends a line that was drawn over.
    static func endLine() {
        guard !isHushed.load(ordering: .relaxed) else { return }
        write("\n", to: .standardError)
    }

    /// A result, to standard output.
    ///
    /// Ends the program with code 74 when it cannot be written: a script must not take silence for success.
    static func print(_ text: String) { print(Data((text + "\n").utf8)) }

    /// A piece of a result as it stands, otherwise like a result.
    static func print(_ bytes: Data) {
        do {
            try FileHandle.standardOutput.write(contentsOf: bytes)
        } catch {
            self.error("standard output cannot be written")
            exit(Failure.Code.inputOutput)
        }
    }

    private static func write(_ text: String, to handle: FileHandle) {
        // Throws when the other end is closed; there is nobody left to tell.
        try? handle.write(contentsOf: Data(text.utf8))
    }
}
