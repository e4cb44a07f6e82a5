import Foundation

/// Whole small files, read with a limit and written so that no reader ever sees half of one.
enum FileBytes {
    static func read(_ url: URL, limit: Int) throws(TokenizerError) -> [UInt8] {
        do {
            let values = try url.resourceValues(forKeys: [.fileSizeKey, .isDirectoryKey])
            guard values.isDirectory != true else {
                throw TokenizerError.unreadable(path: url.path, reason: "it is a directory")
            }
            guard (values.fileSize ?? 0) <= limit else {
                throw TokenizerError.unreadable(
                    path: url.path,
                    reason: "it is larger than \(limit >> 20) MiB"
                )
            }
            return [UInt8](try Data(contentsOf: url))
        } catch let error as TokenizerError {
            throw error
        } catch {
            let missing = !FileManager.default.fileExists(atPath: url.path)
            throw .unreadable(
                path: url.path,
                reason: missing ? "there is no such file" : "\(error.localizedDescription)"
            )
        }
    }

    /// Writes to a temporary name beside `url`, then renames over it.
    static func write(_ text: String, to url: URL) throws(TokenizerError) {
        let temporary = url.deletingLastPathComponent().appendingPathComponent(
            ".\(url.lastPathComponent).\(UUID().uuidString).tmp"
        )
        do {
            try Data(text.utf8).write(to: temporary)
            guard rename(temporary.path, url.path) == 0 else {
                throw TokenizerError.unwritable(
                    path: url.path,
                    reason: String(cString: strerror(errno))
                )
            }
        } catch {
            try? FileManager.default.removeItem(at: temporary)
            throw (error as? TokenizerError)
                ?? .unwritable(path: url.path, reason: "\(error.localizedDescription)")
        }
    }
}
