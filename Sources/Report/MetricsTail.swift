import Distill
import Foundation

/// The lines of a run's `metrics.jsonl`, those that are there and those that come.
///
/// Another program writes the file and may put another in its place (a run that is resumed drops the lines of
/// steps that it will make again).
public final class MetricsTail {
    /// What was read since the last time.
    public struct Piece {
        /// Whether the file is another than before: what was read of it then does not hold.
        public var isAnew = false
        /// Lines that are whole.
        public var lines: [TrainingMetrics] = []
        /// Lines that are none of ours.
        public var unreadable = 0
    }

    private let path: String
    private var inode: ino_t?
    private var offset = 0
    private var rest = Data()
    private var isSkipping = false
    private let decoder = JSONDecoder()

    /// A longer line is none that a run writes.
    static let longestLine = 1 << 20
    private static let pieceBytes = 1 << 22

    /// Nothing is read yet.
    public init(_ url: URL) { path = url.path }

    /// Reads what is new; nothing where there is no such file, or one that is no plain file.
    public func read() -> Piece {
        var piece = Piece()
        // Not to be held up by a pipe in the file's place.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return piece }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return piece
        }
        if inode != status.st_ino || Int(status.st_size) < offset {
            piece.isAnew = inode != nil
            (inode, offset, rest, isSkipping) = (status.st_ino, 0, Data(), false)
        }
        var buffer = [UInt8](repeating: 0, count: Self.pieceBytes)
        while true {
            let count = pread(descriptor, &buffer, buffer.count, off_t(offset))
            guard count > 0 else { return piece }
            offset += count
            split(buffer[..<count], into: &piece)
        }
    }

    private func split(_ bytes: ArraySlice<UInt8>, into piece: inout Piece) {
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            keep(bytes[start..<end])
            if isSkipping {
                piece.unreadable += 1
            } else if let line = try? decoder.decode(TrainingMetrics.self, from: rest) {
                piece.lines.append(line)
            } else if !rest.isEmpty {
                piece.unreadable += 1
            }
            rest.removeAll(keepingCapacity: true)
            isSkipping = false
            start = end + 1
        }
        keep(bytes[start...])
    }

    private func keep(_ bytes: ArraySlice<UInt8>) {
        guard !isSkipping else { return }
        guard rest.count + bytes.count <= Self.longestLine else {
            rest.removeAll()
            isSkipping = true
            return
        }
        rest.append(contentsOf: bytes)
    }
}
