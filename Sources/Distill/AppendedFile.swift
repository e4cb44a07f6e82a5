import Foundation

/// A file of records that each step adds to.
final class AppendedFile {
    private let path: String
    private let descriptor: Int32

    /// Starts with what is kept of an earlier file.
    ///
    /// - Throws: `DistillError.file`.
    init(_ url: URL, keeping kept: Data) throws {
        try RunFiles.write(kept, to: url)
        path = url.path
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw RunFiles.unwritable(path, errno) }
    }

    /// A record cut short by a full disk is the caller's to drop when the file is opened again.
    ///
    /// - Throws: `DistillError.file`.
    func append(_ record: Data) throws {
        try RunFiles.append(record, to: descriptor, path: path)
    }

    // Also runs when the file could not be opened: every stored property is set by then.
    deinit { if descriptor >= 0 { close(descriptor) } }
}
