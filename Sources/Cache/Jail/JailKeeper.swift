import CJail
import Foundation

/// The other end of a keeper's socket: one request, one answer.
///
/// Not safe to use from several threads.
final class JailKeeper {
    /// What a reader said, and how it ended.
    struct Answer {
        var bytes: [UInt8]
        /// As `waitpid` gives it.
        var status: Int32

        /// The signal that ended the reader; nil where it ended by itself.
        var signal: Int32? { status & 0x7F == 0 ? nil : status & 0x7F }
    }

    /// What can go wrong with the keeper or its reader, other than an ending that it reports.
    enum Trouble: Error {
        /// The keeper is gone; whatever it was, it was not the file's structure alone.
        case gone
        /// The reader did not get done.
        case tooLong
        /// More than any listing has, or a report that is none.
        case nonsense
    }

    /// Walls that the keeper has put up.
    private(set) var walls: Int32 = 0
    private let socket: Int32
    private let process: pid_t?
    private var isEnded = false
    /// Seconds for one file; processor time is limited before (`CJ_SECONDS`).
    private let seconds: Double
    /// More than 128 arrays of 16,384 chunks take.
    private let mostBytes: Int

    /// Starts a keeper: this executable once more, with nothing but a socket.
    ///
    /// - Throws: `CacheError.io` when it cannot be started.
    convenience init() throws {
        var pair: [Int32] = [-1, -1]
        var code = cj_pair(&pair)
        guard code == 0 else { throw Self.failure("socketpair", code: code) }
        var process: pid_t = 0
        let debug = ProcessInfo.processInfo.environment[HDF5Jail.debugVariable] != nil
        code = cj_spawn(
            "/proc/self/exe",
            HDF5Jail.keeperArgument,
            pair[1],
            debug ? 1 : 0,
            &process
        )
        close(pair[1])
        guard code == 0 else {
            close(pair[0])
            throw Self.failure("starting a process", code: code)
        }
        try self.init(socket: pair[0], process: process)
        let missing = [(CJ_LANDLOCK, "Landlock"), (CJ_SECCOMP, "seccomp")].filter {
            walls & $0.0 == 0
        }
        if debug, !missing.isEmpty {
            let names = missing.map(\.1).joined(separator: " and no ")
            FileHandle.standardError.write(Data("retort: this system has no \(names)\n".utf8))
        }
    }

    /// Takes over a socket whose other end says that it is ready; for tests without a process.
    init(socket: Int32, process: pid_t?, seconds: Double = 120, mostBytes: Int = 48 << 20) throws {
        self.socket = socket
        self.process = process
        self.seconds = seconds
        self.mostBytes = mostBytes
        do {
            walls = try report()
        } catch {
            end()
            throw Self.failure("the process that reads file structure does not get ready", code: 0)
        }
    }

    deinit { end() }

    /// Kills the process and its readers, and leaves no zombie.
    func end() {
        guard !isEnded else { return }
        isEnded = true
        close(socket)
        if let process { cj_end(process) }
    }

    /// Has one file read.
    ///
    /// After an error, the keeper is of no more use.
    func answer(kind: UInt32, descriptor: Int32, limit: Int) throws -> Answer {
        var pipe: [Int32] = [-1, -1]
        let code = cj_pipe(&pipe)
        guard code == 0 else { throw Self.failure("pipe", code: code) }
        defer { close(pipe[0]) }
        var request = cj_request(magic: CJ_MAGIC, kind: kind, limit: Int64(limit))
        let sent = cj_send_request(socket, &request, descriptor, pipe[1])
        close(pipe[1])
        guard sent == 0 else { throw Trouble.gone }
        var bytes: [UInt8] = []
        var used = 0.0
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = cj_read_within(pipe[0], &piece, piece.count, seconds, &used)
            if count == -2 { throw Trouble.tooLong }
            guard count >= 0 else { throw Trouble.gone }
            if count == 0 { break }
            guard bytes.count + count <= mostBytes else { throw Trouble.nonsense }
            bytes += piece[..<count]
        }
        return Answer(bytes: bytes, status: try report())
    }

    private func report() throws -> Int32 {
        var report = cj_report()
        var used = 0.0
        let size = MemoryLayout<cj_report>.size
        let count = cj_read_within(socket, &report, size, seconds, &used)
        if count == -2 { throw Trouble.tooLong }
        guard count > 0 else { throw Trouble.gone }
        guard count == size, report.magic == CJ_MAGIC else { throw Trouble.nonsense }
        return report.value
    }

    static func failure(_ what: String, code: Int32) -> CacheError {
        CacheError(
            .io,
            path: "/proc/self/exe",
            "the sandbox for HDF5 does not start: \(what)"
                + (code == 0 ? "" : ": \(String(cString: strerror(code)))"),
            remedy: "Caches that you made yourself, or trust, can be read without it: set "
                + "\(HDF5Jail.offVariable)=1."
        )
    }
}
