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
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        let target = url.resolvingSymlinksInPath()
        let isSource = sources.contains {
            URL(fileURLWithPath: $0).resolvingSymlinksInPath() == target
        }
        guard !isSource, !isDirectory.boolValue, !exists || replace else {
            throw Failure(
                "\(path): there already"
                    + (isSource || isDirectory.boolValue
                        ? "; choose another output" : "; give --replace to write over it"),
                code: Failure.Code.outputExists
            )
        }
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
    }
}
