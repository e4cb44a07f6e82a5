import Foundation

/// A file that a command writes.
enum OutputFile {
    /// Refuses to write over what is there, and makes the directories above.
    ///
    /// - Parameters:
    ///   - replace: Whether a file that is there may be written over.
    ///   - sources: Files that the command reads, which are never written over.
    /// - Throws: `Failure` (73).
    static func check(_ path: String, replace: Bool, sources: [String] = []) throws {
        let url = URL(fileURLWithPath: path)
        let target = url.resolvingSymlinksInPath()
        let isSource = sources.contains {
            URL(fileURLWithPath: $0).resolvingSymlinksInPath() == target
        }
        var status = stat()
        let exists = stat(path, &status) == 0
        // A device or a pipe would be gone, with a file in its place.
        let isSpecial = exists && status.st_mode & S_IFMT != S_IFREG
        guard !isSource, !isSpecial, !exists || replace else {
            throw Failure(
                "\(path): there already"
                    + (isSource || isSpecial
                        ? "; choose another output" : "; give --replace to write over it"),
                code: Failure.Code.outputExists
            )
        }
        let parent = url.deletingLastPathComponent()
        try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
        guard access(parent.path, W_OK) == 0 else {
            throw Failure(
                "\(parent.path): nothing can be written there: \(String(cString: strerror(errno)))",
                code: Failure.Code.inputOutput
            )
        }
    }
}
