import Cache
import FlyingFox
import FlyingSocks
import Foundation
import Report
import Synchronization

/// The report of runs that are still going, served to browsers of this machine alone.
actor LivePage: HTTPHandler {
    private let live: LiveRuns
    private var cache: ReportCache?

    /// - Throws: `ReportError.noRun`.
    init(_ paths: [String]) throws { live = try LiveRuns(paths) }

    private static let script = "live.js"

    func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
        // A page of another site whose name was made to point here must not read what runs say.
        guard Self.isOurs(request.headers[.host]) else {
            return Self.response(.forbidden, "text/plain", "this page is for this machine alone\n")
        }
        guard [.GET, .HEAD].contains(request.method) else {
            return Self.response(.methodNotAllowed, "text/plain", "nothing can be changed here\n")
        }
        switch request.path {
        case "/": return page()
        case "/\(Self.script)":
            return Self.response(.ok, "text/javascript", LiveScript.text)
        default: return Self.response(.notFound, "text/plain", "there is only /\n")
        }
    }

    private func page() -> HTTPResponse {
        do {
            try live.update()
        } catch {
            return Self.response(.serviceUnavailable, "text/plain", "\(error)\n")
        }
        cache = cache ?? ReportStage.trainedFrom(live.runs)
        let evals = live.evals()
        let page = ReportPage(
            runs: live.runs,
            evals: evals.found,
            unreadable: evals.unreadable,
            cache: cache
        )
        return Self.response(.ok, "text/html", page.html(script: "/\(Self.script)"))
    }

    private static func isOurs(_ host: String?) -> Bool {
        let name = (host ?? "").prefix { $0 != ":" }.lowercased()
        return name == "127.0.0.1" || name == "localhost"
    }

    private static func response(
        _ status: HTTPStatusCode,
        _ type: String,
        _ body: String
    ) -> HTTPResponse {
        HTTPResponse(
            statusCode: status,
            headers: [
                .contentType: "\(type); charset=utf-8",
                HTTPHeader("Cache-Control"): "no-store",
                HTTPHeader("X-Content-Type-Options"): "nosniff",
                HTTPHeader("X-Frame-Options"): "DENY",
            ],
            body: Data(body.utf8)
        )
    }

    /// Serves until a stop is asked for.
    ///
    /// - Throws: `ReportError.noRun`; `Failure` (1) where the port is taken.
    static func serve(_ paths: [String], port: UInt16) throws {
        let server = HTTPServer(
            address: try sockaddr_in.inet(ip4: "127.0.0.1", port: port),
            logger: .disabled,
            handler: try LivePage(paths)
        )
        let served = Task { try await server.run() }
        let started = waiting {
            let told = Task { try await server.waitUntilListening() }
            // A server that fails never listens.
            Task {
                _ = await served.result
                told.cancel()
            }
            _ = await told.result
            return await server.listeningAddress
        }
        guard case .ip4(_, let found)? = started else {
            throw Failure(
                "127.0.0.1:\(port) cannot be listened on; choose another --port (0: any that is free)",
                code: Failure.Code.failed
            )
        }
        Console.say("watch: http://127.0.0.1:\(found)/ shows the runs; Ctrl-C ends it")
        let hasEnded = Atomic(false)
        Task {
            _ = await served.result
            hasEnded.store(true, ordering: .relaxed)
        }
        while !Signals.shouldStop {
            Thread.sleep(forTimeInterval: 0.1)
            guard !hasEnded.load(ordering: .relaxed) else {
                throw Failure(
                    "watch: the server has ended; it may have had too many connections (ulimit -n)",
                    code: Failure.Code.failed
                )
            }
        }
        _ = waiting { await server.stop(timeout: 1) }
    }

    /// The result of asynchronous work, for a caller that has nothing else to do.
    private static func waiting<Value: Sendable>(
        _ work: @escaping @Sendable () async -> Value
    ) -> Value? {
        let isDone = DispatchSemaphore(value: 0)
        let box = Box<Value>()
        Task {
            box.value = await work()
            isDone.signal()
        }
        isDone.wait()
        return box.value
    }

    /// Written before the semaphore is signalled, read after.
    private final class Box<Value>: @unchecked Sendable {
        var value: Value?
    }
}
