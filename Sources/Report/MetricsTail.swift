import Distill
import Foundation

/// The lines of a run's `metrics.jsonl`, those that are there and those that come.
///
/// Another program writes the file and may put another in its place (a run that is resumed drops the lines of
/// steps that it will make again).
public final class MetricsTail {
    /// What a file holds, piece by piece.
    public enum Piece {
        /// The file is another than before: what was read of it then does not hold.
        case anew
        /// A line that is whole.
        case line(TrainingMetrics)
        /// One that is none of ours.
        case unreadable
    }

    private let path: String
    private var inode: ino_t?
    private var offset = 0
    private var rest = Data()
    /// The first and the last bytes that were read, by which a file that was written anew in its place is known.
    private var marks: (first: [UInt8], last: [UInt8]) = ([], [])
    private var isSkipping = false
    private let decoder = JSONDecoder()

    /// A longer line is none that a run writes.
    static let longestLine = 1 << 20
    private static let pieceBytes = 1 << 22, markBytes = 1024
    /// No more is read of a file: a hundred million steps.
    private static let mostBytes = 64 << 30
    /// A file of nothing but such lines is none of ours.
    private static let mostUnreadable = 10_000
    private var unreadable = 0

    /// Nothing is read yet.
    public init(_ url: URL) { path = url.path }

    /// Calls `body` with what is new; never where there is no such file, or one that is no plain file.
    public func read(_ body: (Piece) -> Void) {
        // Not to be held up by a pipe in the file's place, nor led elsewhere by a link.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
        if inode != status.st_ino || Int(status.st_size) < offset || !hasMarks(descriptor) {
            if inode != nil { body(.anew) }
            (inode, offset, rest, isSkipping) = (status.st_ino, 0, Data(), false)
            (marks, unreadable) = (([], []), 0)
        }
        var buffer = [UInt8](repeating: 0, count: Self.pieceBytes)
        while offset < Self.mostBytes, unreadable < Self.mostUnreadable {
            let count = pread(descriptor, &buffer, buffer.count, off_t(offset))
            guard count > 0 else { return }
            offset += count
            let (first, last) = (
                buffer[..<count].prefix(Self.markBytes), buffer[..<count].suffix(Self.markBytes)
            )
            marks.first = Array((marks.first + first).prefix(Self.markBytes))
            marks.last = Array((marks.last + last).suffix(Self.markBytes))
            split(buffer[..<count], body)
        }
    }

    private func hasMarks(_ descriptor: Int32) -> Bool {
        func holds(_ mark: [UInt8], at place: Int) -> Bool {
            var found = [UInt8](repeating: 0, count: mark.count)
            return mark.isEmpty
                || pread(descriptor, &found, mark.count, off_t(place)) == mark.count
                    && found == mark
        }
        return holds(marks.first, at: 0) && holds(marks.last, at: offset - marks.last.count)
    }

    private func split(_ bytes: ArraySlice<UInt8>, _ body: (Piece) -> Void) {
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            keep(bytes[start..<end])
            if !isSkipping, let line = try? decoder.decode(TrainingMetrics.self, from: rest) {
                body(.line(line))
            } else if isSkipping || !rest.isEmpty {
                unreadable += 1
                body(.unreadable)
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
