import Foundation

/// The lines of a file or of standard input, of which no more than a piece is in memory.
final class LineReader {
    /// For messages.
    let name: String
    /// The line that `next` gave last, from 1.
    private(set) var number = 0
    private let handle: FileHandle
    private var buffer = Data()
    private var start = 0
    private var isAtEnd = false

    private static let pieceBytes = 1 << 20

    /// - Parameter path: A file, or "-".
    /// - Throws: `Failure` (66) when there is no such file, (74) when it cannot be opened.
    init(_ path: String) throws {
        guard path != "-" else {
            name = "standard input"
            handle = .standardInput
            return
        }
        name = path
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw Failure("\(path): there is no such file", code: Failure.Code.missing)
        }
        guard !isDirectory.boolValue else {
            throw Failure("\(path): a directory, not a file", code: Failure.Code.badData)
        }
        guard let opened = FileHandle(forReadingAtPath: path) else {
            throw Failure("\(path): cannot be opened", code: Failure.Code.inputOutput)
        }
        handle = opened
    }

    /// Whether the next line has still to be read from the file.
    var isDrained: Bool { buffer[(buffer.startIndex + start)...].firstIndex(of: 0x0A) == nil }

    /// The next line without its end, nil after the last.
    ///
    /// - Throws: `Failure` (74) when reading fails.
    func next() throws -> Data? {
        var searched = start
        while true {
            let from = buffer.startIndex + searched
            if let end = buffer[from...].firstIndex(of: 0x0A) {
                let line = Data(buffer[(buffer.startIndex + start)..<end])
                start = end - buffer.startIndex + 1
                number += 1
                return line
            }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                let line = Data(buffer[(buffer.startIndex + start)...])
                start = buffer.count
                number += 1
                return line
            }
            buffer = Data(buffer[(buffer.startIndex + start)...])
            start = 0
            searched = buffer.count
            try readMore()
        }
    }

    private func readMore() throws {
        // One read(2), so that a pipe's line is there as soon as it was written.
        let piece = try Data(unsafeReading: handle.fileDescriptor, limit: Self.pieceBytes, name)
        if piece.isEmpty { isAtEnd = true }
        buffer.append(piece)
    }
}

extension Data {
    fileprivate init(unsafeReading descriptor: Int32, limit: Int, _ name: String) throws {
        self.init(count: limit)
        while true {
            let got = withUnsafeMutableBytes { read(descriptor, $0.baseAddress, limit) }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else {
                let reason = String(cString: strerror(errno))
                throw Failure("\(name): cannot be read: \(reason)", code: Failure.Code.inputOutput)
            }
            removeLast(limit - got)
            return
        }
    }
}

/// Output that is written in large pieces.
struct OutputBuffer {
    private static let limit = 1 << 16
    private var bytes = Data()

    mutating func add(_ text: String) {
        bytes.append(contentsOf: text.utf8)
        if bytes.count >= Self.limit { flush() }
    }

    mutating func flush() {
        guard !bytes.isEmpty else { return }
        Console.print(bytes)
        bytes.removeAll(keepingCapacity: true)
    }
}
