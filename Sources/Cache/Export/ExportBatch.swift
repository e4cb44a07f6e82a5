import Foundation

/// Files and directories on their way into one directory: they get their names together, when all of
/// them are on the disk.
///
/// Flushing each before the next is written takes most of an export's time: the disk can work on all
/// of a batch at once, and NumPy's many small files come out two to three times as fast.
struct ExportBatch {
    /// Writes the elements of an open file and returns its bytes.
    typealias Fill = (Int32) throws -> Int

    private let folder: URL
    private var waiting: [(temporary: URL, final: URL)] = []
    /// Open, so that each tells of its own write errors.
    private var descriptors: [(file: Int32, path: String)] = []
    private var bytes = 0

    /// Open files at a time: below the usual limit of 1,024.
    private static let mostFiles = 512
    private static let mostBytes = 256 << 20

    init(in folder: URL) {
        self.folder = folder
    }

    /// Whether it is time to commit.
    var isFull: Bool { descriptors.count >= Self.mostFiles || bytes >= Self.mostBytes }

    /// Writes a file that will be `final`.
    mutating func add(_ final: URL, fill: Fill) throws -> Int {
        try prepare(final) { batch, temporary in
            try batch.write(temporary, named: final.path, fill)
        }
    }

    /// Writes a directory of files that will be `final`.
    mutating func add(_ final: URL, files: [(name: String, fill: Fill)]) throws -> Int {
        try prepare(final) { batch, temporary in
            try ExportFolder.make(temporary)
            var size = 0
            for (name, fill) in files {
                let path = final.appendingPathComponent(name).path
                size += try batch.write(temporary.appendingPathComponent(name), named: path, fill)
            }
            let descriptor = open(temporary.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { throw CacheError.system(final.path, "open", code: errno) }
            batch.descriptors.append((descriptor, final.path))
            return size
        }
    }

    /// Takes `final` into the batch if all of it is written, else leaves nothing of it.
    private mutating func prepare(
        _ final: URL,
        _ write: (inout ExportBatch, URL) throws -> Int
    ) throws -> Int {
        let temporary = DurableFile.temporaryName(for: final)
        let count = descriptors.count
        do {
            let size = try write(&self, temporary)
            waiting.append((temporary, final))
            return size
        } catch {
            for (descriptor, _) in descriptors[count...] { close(descriptor) }
            descriptors.removeSubrange(count...)
            try? FileManager.default.removeItem(at: temporary)
            throw error
        }
    }

    private mutating func write(_ url: URL, named path: String, _ fill: Fill) throws -> Int {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
        let descriptor = open(url.path, flags, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(path, "create", code: errno) }
        descriptors.append((descriptor, path))
        let size = try fill(descriptor)
        bytes += size
        return size
    }

    /// Waits for the disk and gives everything its name.
    ///
    /// - Throws: `CacheError`; what of the batch has no name yet is then removed. A flush that failed
    ///   once may not fail again, so it is not tried again.
    mutating func commit() throws {
        do {
            try nameAll()
            empty()
        } catch {
            discard()
            throw error
        }
    }

    private func nameAll() throws {
        guard !waiting.isEmpty else { return }
        for (descriptor, path) in descriptors {
            try DurableFile.flush(descriptor, path: path, needed: bytes)
        }
        for (temporary, final) in waiting {
            guard rename(temporary.path, final.path) == 0 else {
                throw CacheError.system(final.path, "rename", code: errno)
            }
        }
        try DurableFile.flush(directory: folder)
    }

    /// Forgets the batch, and removes what of it has no name yet.
    private mutating func discard() {
        for (temporary, _) in waiting { try? FileManager.default.removeItem(at: temporary) }
        empty()
    }

    private mutating func empty() {
        for (descriptor, _) in descriptors { close(descriptor) }
        descriptors = []
        waiting = []
        bytes = 0
    }
}
