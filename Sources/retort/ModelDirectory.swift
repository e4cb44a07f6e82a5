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

    /// Runs `body`, which fills the directory; what it has made is removed when it fails.
    ///
    /// - Precondition: `refuseExisting` has passed.
    static func fill(_ output: String, _ body: (URL) throws -> Void) throws {
        do {
            try body(URL(fileURLWithPath: output))
        } catch {
            try? FileManager.default.removeItem(atPath: output)
            throw error
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
