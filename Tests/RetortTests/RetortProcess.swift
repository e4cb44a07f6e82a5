import Foundation

/// The built command, run as a person runs it.
struct RetortProcess {
    struct Result {
        let code: Int32
        let output: String
        let errors: String
    }

    /// The executable beside the test bundle.
    static let executable: URL = {
        var directory = Bundle.main.bundleURL
        if !FileManager.default.fileExists(atPath: directory.appendingPathComponent("retort").path)
        {
            directory = Bundle.main.executableURL?.deletingLastPathComponent() ?? directory
        }
        return directory.appendingPathComponent("retort")
    }()

    private let process = Process()
    private let folder: URL
    private let tag = UUID().uuidString

    /// Starts the command in a folder, with `environment` besides this process's.
    init(_ arguments: [String], in folder: URL, environment: [String: String] = [:]) throws {
        self.folder = folder
        process.executableURL = Self.executable
        process.arguments = arguments
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        // Files, not pipes: nothing has to be read while the process runs.
        for name in ["out", "err"] {
            let url = folder.appendingPathComponent("\(tag).\(name)")
            try Data().write(to: url)
            let handle = try FileHandle(forWritingTo: url)
            if name == "out" {
                process.standardOutput = handle
            } else {
                process.standardError = handle
            }
        }
        try process.run()
    }

    var isRunning: Bool { process.isRunning }

    /// What it has told so far.
    var errorsSoFar: String {
        get throws {
            String(
                decoding: try Data(contentsOf: folder.appendingPathComponent("\(tag).err")),
                as: UTF8.self
            )
        }
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    func wait() throws -> Result {
        process.waitUntilExit()
        func text(_ name: String) throws -> String {
            String(
                decoding: try Data(contentsOf: folder.appendingPathComponent("\(tag).\(name)")),
                as: UTF8.self
            )
        }
        let code =
            process.terminationReason == .exit
            ? process.terminationStatus : 128 + process.terminationStatus
        return Result(code: code, output: try text("out"), errors: try text("err"))
    }

    /// Runs the command to its end.
    static func run(
        _ arguments: [String],
        in folder: URL,
        environment: [String: String] = [:]
    ) throws -> Result {
        try RetortProcess(arguments, in: folder, environment: environment).wait()
    }
}

/// A new folder of that name inside another.
func makeFolder(_ name: String, in folder: URL) throws -> URL {
    let url = folder.appendingPathComponent(name)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    return url
}
