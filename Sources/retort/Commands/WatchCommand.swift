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
            changed; it may be watched from anywhere that sees its files.

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

    @Option(help: "With --serve: the port (0: any that is free).")
    var port: UInt16 = 7070

    @Option(help: "Seconds between looks at the files.")
    var interval = 1.0

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("--interval takes 0.1 to 3600 seconds")
        }
        guard !(once && serve) else {
            throw ValidationError("--once shows the terminal's view; leave out --serve")
        }
    }

    func run() throws {
        if serve { return try LivePage.serve(runs, port: port) }
        let live = try LiveRuns(runs)
        let isDrawn = isatty(STDOUT_FILENO) == 1 && !once
        var drawn = 0
        while true {
            let size = Console.size(of: STDOUT_FILENO)
            let screen = WatchScreen(width: size.columns, height: isDrawn ? size.rows : .max)
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
        let end = Date().addingTimeInterval(interval)
        while Date() < end, !Signals.shouldStop { Thread.sleep(forTimeInterval: 0.05) }
    }
}
