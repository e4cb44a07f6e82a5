import Foundation
import Models

/// A model's directory that a command makes.
enum ModelDirectory {
    /// - Throws: `Failure` (73) when there is something there.
    static func refuseExisting(_ output: String) throws {
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: output, isDirectory: &isDirectory)
        let there = (try? FileManager.default.contentsOfDirectory(atPath: output)) ?? []
        guard there.isEmpty, !exists || isDirectory.boolValue else {
            throw Failure(
                isDirectory.boolValue
                    ? "\(output): the directory is not empty; choose another one or remove it"
                    : "\(output): there is a file of that name; choose another output",
                code: Failure.Code.outputExists
            )
        }
    }

    /// Runs `body`, which fills a directory beside the place, and moves it there whole: nobody sees half a
    /// model, and of two commands that make the same one the second is refused.
    ///
    /// - Throws: What `body` throws, with the place's path for that of the directory beside it; `Failure` (73)
    ///   where something has come there meanwhile.
    static func fill(_ output: String, _ body: (URL) throws -> Void) throws {
        let place = URL(fileURLWithPath: output).resolvingSymlinksInPath()
        let parent = place.deletingLastPathComponent()
        let partial = parent.appendingPathComponent(".\(place.lastPathComponent).\(getpid()).tmp")
        do {
            try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
            try Signals.removing(partial) { try body(partial) }
        } catch let error as ModelError {
            let path = error.path.replacingOccurrences(of: partial.path, with: output)
            throw ModelError(error.kind, path: path, error.message, remedy: error.remedy)
        }
        // Onto an empty directory it may go.
        guard rename(partial.path, place.path) == 0 else {
            let code = errno
            try? FileManager.default.removeItem(at: partial)
            if code != ENOTEMPTY && code != EEXIST && code != ENOTDIR {
                throw Failure(
                    "\(output): cannot be made: \(String(cString: strerror(code)))",
                    code: Failure.Code.inputOutput
                )
            }
            throw Failure(
                "\(output): something else was put there meanwhile; choose another output",
                code: Failure.Code.outputExists
            )
        }
    }

    /// Writes a chat template as transformers keeps it.
    static func write(chatTemplate text: String, to directory: URL) throws {
        try Data(text.utf8).write(
            to: directory.appendingPathComponent("chat_template.jinja"),
            options: .atomic
        )
    }
}
