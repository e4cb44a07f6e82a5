import ArgumentParser
import Cache
import Foundation
import Report

/// Runs while they train.
struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Show how runs go while they train.",
        discussion: """
            Figures and curves in the terminal, drawn anew every second until the runs are finished or Ctrl-C; \
            into a pipe or a file, and with --once, one time. A run is the output directory of `retort distill`; \
            the directory of a pipeline stands for the runs in it, those that come too. Nothing of a run is \
            changed; it may be watched from anywhere that sees its files. A pipeline may be watched before its first \
            run has begun, and until its runs are measured.

            With --serve the page of `retort report` keeps itself up to date in a browser, on this machine only \
            (127.0.0.1). From another one: ssh -L 7070:127.0.0.1:7070 HOST

            Examples:
              retort watch runs/quickstart
              retort watch runs/quickstart/dskd --serve
            """
    )

    @Argument(help: "Runs, or directories that hold runs.")
    var runs: [String]

    @Flag(help: "Show the state once and end.")
    var once = false

    @Flag(help: "Serve a page that keeps itself up to date.")
    var serve = false

    @Option(help: "With --serve: the port (default: 7070; 0: any that is free).")
    var port: UInt16?

    @Option(help: "Without --serve: seconds between looks at the files (default: 1).")
    var interval: Double?

    func validate() throws {
        guard (0.1...3600).contains(interval ?? 1) else {
            throw ValidationError("--interval takes 0.1 to 3600 seconds")
        }
        guard serve ? !once && interval == nil : port == nil else {
            throw ValidationError("--port goes with --serve; --once and --interval go without it")
        }
    }

    func run() throws {
        Signals.stopQuietly()
        if serve { return try LivePage.serve(runs, port: port ?? 7070) }
        let live = try LiveRuns(runs)
        let isDrawn = isatty(STDOUT_FILENO) == 1 && !once
        var drawn = 0
        while true {
            let size = Console.size(of: STDOUT_FILENO)
            // What is kept or searched is not cut.
            let screen = WatchScreen(
                width: isDrawn ? size.columns : 160,
                height: isDrawn ? size.rows : .max
            )
            let lines = screen.lines(live.runs)
            // Over what was drawn before, so that what stood above stays in the terminal's memory.
            let up = drawn > 0 ? "\u{1B}[\(drawn)A\r\u{1B}[J" : ""
            Console.print(up + lines.joined(separator: "\n"))
            drawn = lines.count
            guard isDrawn, !live.areFinished else { return }
            wait()
            guard !Signals.shouldStop else { return }
            try live.update()
        }
    }

    private func wait() {
        let end = Date().addingTimeInterval(interval ?? 1)
        while Date() < end, !Signals.shouldStop { Thread.sleep(forTimeInterval: 0.05) }
    }
}
