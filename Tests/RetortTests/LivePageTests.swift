import Foundation
import TestSupport
import Testing

/// A page that `retort watch` serves.
@Suite("The live page")
struct LivePageTests {
    private static let line =
        "{\"step\": 3, \"steps\": 9, \"epoch\": 1, \"losses\": {\"total\": 2.5}, \"learning_rate\": 0.1, "
        + "\"tokens\": 10, \"tokens_per_second\": 5, \"examples\": 1, \"cut\": 0, \"dropped\": 0}\n"

    private func withServer(_ body: (UInt16, URL) throws -> Void) throws {
        try withFolder { folder in
            let run = folder.appendingPathComponent("run")
            try FileManager.default.createDirectory(at: run, withIntermediateDirectories: true)
            try Data(Self.line.utf8).write(to: run.appendingPathComponent("metrics.jsonl"))
            let server = try RetortProcess(
                ["watch", "run", "--serve", "--port", "0"],
                in: folder
            )
            var port: UInt16?
            while server.isRunning, port == nil {
                port = try server.errorsSoFar.firstMatch(of: /127\.0\.0\.1:([0-9]+)\//)
                    .flatMap { UInt16($0.1) }
                Thread.sleep(forTimeInterval: 0.02)
            }
            try body(try #require(port), run)
            server.send(SIGINT)
            #expect(try server.wait().code == 0)
        }
    }

    /// What a server on this machine answers to a request as it stands.
    private func answer(_ request: String, from port: UInt16) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        let bytes = Array(request.utf8)
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        var found = Data()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: found, as: UTF8.self) }
            found += buffer[..<count]
        }
    }

    private func get(_ path: String, host: String = "127.0.0.1:80", method: String = "GET")
        -> String
    {
        "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n"
    }

    @Test("is the report as it is now, for this machine alone")
    func serves() throws {
        try withServer { port, run in
            let first = try answer(get("/"), from: port)
            #expect(first.hasPrefix("HTTP/1.1 200") && first.contains("3 of 9"))
            #expect(
                first.contains("script src=\"/live.js\"") && first.contains("script-src 'self'")
            )
            #expect(try answer(get("/live.js", host: "localhost"), from: port).contains("refresh"))
            let more = Self.line.replacing("\"step\": 3", with: "\"step\": 4")
            let handle = try FileHandle(forWritingTo: run.appendingPathComponent("metrics.jsonl"))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(more.utf8))
            try handle.close()
            #expect(try answer(get("/"), from: port).contains("4 of 9"))
            // A name of somebody else's that leads here, other methods, other paths.
            #expect(
                try answer(get("/", host: "evil.example"), from: port).hasPrefix("HTTP/1.1 403")
            )
            #expect(try answer(get("/", method: "POST"), from: port).hasPrefix("HTTP/1.1 405"))
            #expect(try answer(get("/", method: "HEAD"), from: port).hasPrefix("HTTP/1.1 200"))
            for path in ["/../../etc/passwd", "/metrics.jsonl", "//x"] {
                #expect(try answer(get(path), from: port).hasPrefix("HTTP/1.1 404"), "\(path)")
            }
            try FileManager.default.removeItem(at: run)
            #expect(try answer(get("/"), from: port).hasPrefix("HTTP/1.1 503"))
        }
    }

    @Test("of a pipeline waits for its first run, and for its measurements")
    func pipeline() throws {
        try withFolder { folder in
            let run = folder.appendingPathComponent("pipeline/sft")
            try FileManager.default.createDirectory(
                at: folder.appendingPathComponent("pipeline/cache"),
                withIntermediateDirectories: true
            )
            let none = try RetortProcess.run(["watch", "pipeline"], in: folder)
            #expect(none.code == 66 && none.errors.contains("pipeline: no run"))
            try Data().write(to: folder.appendingPathComponent("pipeline/log.txt"))
            let early = try RetortProcess.run(["watch", "pipeline"], in: folder)
            #expect(early.code == 0 && early.output.contains("no run has begun yet"))
            try FileManager.default.createDirectory(at: run, withIntermediateDirectories: true)
            try Data(Self.line.utf8).write(to: run.appendingPathComponent("metrics.jsonl"))
            let later = try RetortProcess.run(["watch", "pipeline"], in: folder)
            #expect(later.code == 0 && later.output.contains("step 3 of 9"))
        }
    }

    @Test("says so where the port is taken, or there is no run")
    func refused() throws {
        try withServer { port, run in
            let taken = try RetortProcess.run(
                ["watch", "run", "--serve", "--port", "\(port)"],
                in: run.deletingLastPathComponent()
            )
            #expect(taken.code == 1 && taken.errors.contains("choose another --port"))
            let none = try RetortProcess.run(
                ["watch", "nowhere", "--serve", "--port", "0"],
                in: run.deletingLastPathComponent()
            )
            #expect(none.code == 66 && none.errors.contains("nowhere: there is no such"))
        }
    }
}
