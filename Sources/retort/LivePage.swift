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

/// What keeps the page up to date.
enum LiveScript {
    /// Sections that have changed are put in the place of the old ones, unless somebody is in them.
    static let text = """
        "use strict";
        const every = 3000;
        const shown = new WeakMap();
        const time = () => new Date().toLocaleTimeString();
        const told = document.createElement("p");
        told.id = "live";
        document.querySelector("header").append(told);
        const parts = (from) => [...from.children];
        // Where somebody is inside, only what is around them is renewed.
        function put(fresh, old) {
          const text = fresh.outerHTML;
          if (shown.get(old) === text) return;
          if (old.contains(document.activeElement) && old !== document.activeElement
              && parts(old).length > 0 && parts(old).length === parts(fresh).length) {
            const olds = parts(old);
            parts(fresh).forEach((one, at) => put(one, olds[at]));
            return;
          }
          if (old === document.activeElement) return;
          const open = [...old.querySelectorAll("details")].map((one) => one.open);
          fresh = document.importNode(fresh, true);
          shown.set(fresh, text);
          fresh.querySelectorAll("details").forEach((one, at) => { one.open = open[at] ?? one.open; });
          if (old.tagName === "DETAILS") fresh.open = old.open;
          old.replaceWith(fresh);
        }
        async function refresh() {
          try {
            const answer = await fetch("/", { cache: "no-store" });
            if (!answer.ok) throw new Error(await answer.text());
            const page = new DOMParser().parseFromString(await answer.text(), "text/html");
            const ids = (from) => [...from.querySelectorAll("main > section")].map((one) => one.id);
            if (ids(page).join() !== ids(document).join()) { location.reload(); return; }
            for (const id of ids(page)) put(page.getElementById(id), document.getElementById(id));
            told.textContent = "Live: renewed at " + time() + ".";
          } catch (problem) {
            told.textContent = "Not renewed at " + time() + ": " + problem.message;
          }
          setTimeout(refresh, every);
        }
        told.textContent = "Live: renewed every three seconds.";
        setTimeout(refresh, every);

        """
}
