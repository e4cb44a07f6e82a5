import Foundation

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

    /// Writes a chat template as transformers keeps it.
    static func write(chatTemplate text: String, to directory: URL) throws {
        try Data(text.utf8).write(
            to: directory.appendingPathComponent("chat_template.jinja"),
            options: .atomic
        )
    }
}
