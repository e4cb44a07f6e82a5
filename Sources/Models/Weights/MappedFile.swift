import Foundation

/// A file mapped for reading, for as long as the object lives.
///
/// Pages come in as they are touched and can be dropped again, so a model larger than memory can be
/// read tensor by tensor. Every access is checked against the size at opening. A file that another
/// process cuts short meanwhile would end ours with SIGBUS, so each access first looks whether
/// it has shrunk; writers that replace a file by renaming, as ours do, leave the mapping intact.
final class MappedFile: Sendable {
    let path: String
    /// Bytes when it was opened.
    let size: Int
    private let descriptor: Int32
    // Immutable memory: set once here, only ever read, unmapped in deinit.
    nonisolated(unsafe) private let base: UnsafeRawPointer?

    /// Opens and maps a regular file.
    ///
    /// - Throws: `ModelError` `missing` when it is not there, `io` when it cannot be opened or mapped.
    init(path: String) throws {
        // O_NONBLOCK: opening a pipe by mistake must not hang.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code = errno
            throw code == ENOENT
                ? ModelError(
                    .missing,
                    path: path,
                    "no such file",
                    remedy: "Check the path, or fetch the model first."
                )
                : ModelError(.io, path: path, "cannot be opened: \(reason(code))")
        }
        do {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else {
                throw ModelError(.io, path: path, "cannot be examined: \(reason(errno))")
            }
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw ModelError(
                    .io,
                    path: path,
                    "is not a regular file",
                    remedy: "Name the weight file itself."
                )
            }
            let size = Int(status.st_size)
            var base: UnsafeRawPointer?
            if size > 0 {
                let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
                guard let address, address != MAP_FAILED else {
                    throw ModelError(.io, path: path, "cannot be mapped: \(reason(errno))")
                }
                base = UnsafeRawPointer(address)
            }
            self.path = path
            self.size = size
            self.descriptor = descriptor
            self.base = base
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), size) }
        close(descriptor)
    }

    /// Calls `body` with `count` bytes from `offset`; the pointer must not escape.
    ///
    /// - Throws: `corrupt` when the range is not inside the file, `io` when the file has shrunk.
    func withBytes<Result>(
        offset: Int,
        count: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
            throw ModelError(
                .corrupt,
                path: path,
                "\(count) bytes at offset \(offset) are needed, but the file has \(size) bytes",
                remedy: ModelError.fetchAgain
            )
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) >= size else {
            throw ModelError(
                .io,
                path: path,
                "the file has been cut short since it was opened",
                remedy: "Do not write over a model in use; load it again."
            )
        }
        return try withExtendedLifetime(self) {
            try body(
                UnsafeRawBufferPointer(
                    start: count > 0 ? base?.advanced(by: offset) : nil,
                    count: count
                )
            )
        }
    }

    /// Gives back the memory of pages that were read: they leave the process's resident set, stay in
    /// the system's page cache, and come in again when touched.
    ///
    /// Without it every page of a model that was ever read would count as ours until the kernel runs
    /// out of others. One touch brings in up to 2 MiB around it (a large folio of the page cache,
    /// never past a page table), so whole 2 MiB are given back.
    func release(offset: Int, count: Int) {
        guard let base, offset >= 0, count > 0, offset <= size, count <= size - offset else {
            return
        }
        let window = UInt(2 << 20)
        let start = UInt(bitPattern: base)
        let from = max(start, (start + UInt(offset)) & ~(window - 1))
        let end = (start + UInt(offset + count) + window - 1) & ~(window - 1)
        let length = Int(min(end, start + UInt(size)) - from)
        // Advice: where it is refused the pages merely stay.
        _ = madvise(UnsafeMutableRawPointer(bitPattern: from), length, MADV_DONTNEED)
    }

    /// What the file seems to be instead, when its first bytes tell: a sentence for the remedy.
    func guessedRemedy() -> String {
        let head = (try? withBytes(offset: 0, count: min(size, 64)) { Array($0) }) ?? []
        let text = String(decoding: head, as: UTF8.self).lowercased()
        if head.isEmpty { return "The file is empty: fetch it again." }
        if text.hasPrefix("version https://git-lfs") {
            return "This is a Git LFS pointer: run `git lfs pull` to get the file itself."
        }
        if text.hasPrefix("<!doctype") || text.hasPrefix("<html") {
            return "This is a web page, saved instead of the file: download it again."
        }
        if text.hasPrefix("gguf") { return "This is a GGUF file: name it *.gguf." }
        if text.hasPrefix("pk") {
            return "This is a ZIP archive, perhaps a PyTorch .bin file: convert it to safetensors."
        }
        return ModelError.fetchAgain
    }
}

/// The operating system's words for an error number.
func reason(_ code: Int32) -> String {
    strerror(code).map { String(cString: $0) } ?? "error \(code)"
}
