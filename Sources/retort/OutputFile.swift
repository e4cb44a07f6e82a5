import Foundation

/// A file that a command writes.
enum OutputFile {
    /// Refuses to write over what is there, and makes the directories above.
    ///
    /// - Parameters:
    ///   - replace: Whether a file that is there may be written over.
    ///   - source: A file that the command reads, which is never written over.
    /// - Throws: `Failure` (73).
    static func check(_ path: String, replace: Bool, source: String? = nil) throws {
        let url = URL(fileURLWithPath: path)
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        let isSource =
            source.map { URL(fileURLWithPath: $0).resolvingSymlinksInPath() }
            == url.resolvingSymlinksInPath()
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
