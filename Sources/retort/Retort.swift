import ArgumentParser
import Cache
import Foundation
import Tensors

/// The command line: parse, call, print.
///
/// What the commands do lies in the other targets.
@main
struct Retort: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retort",
        abstract: "Distils large language models offline.",
        discussion: """
            A teacher is run once (extract) and leaves its hidden states and logits in HDF5 shards. \
            Students are trained from those shards (distill) without the teacher.

            Start with:  retort run pipelines/quickstart.yaml

            Exit codes: 0 done, 1 failed, 64 usage or settings, 65 bad data, 66 missing input, \
            73 output exists, 74 input/output error or full disk, 75 stopped early (run again to go on).
            """,
        version: Version.text,
        subcommands: [
            RunCommand.self, ExtractCommand.self, DistillCommand.self, EvalCommand.self,
            ReportCommand.self, WatchCommand.self,
            GenerateCommand.self, CacheCommand.self, ModelCommand.self, CriterionCommand.self,
            TokenizeCommand.self,
        ]
    )

    static func main() {
        startJail()
        Signals.install()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            // Usage errors and --help are the parser's to print; everything else is ours.
            if let failure = Failure(error) {
                Console.error(failure.message)
                Foundation.exit(failure.code)
            }
            exit(withError: error)
        }
    }

    /// HDF5 meets strangers' files in a process of its own: this executable with a hidden argument.
    private static func startJail() {
        switch CommandLine.arguments.dropFirst().first {
        case HDF5Jail.keeperArgument: HDF5Jail.serve()
        case HDF5Jail.probeArgument:
            do {
                let found = try HDF5Jail.probe()
                print("walls \(found.walls), filtered \(found.filtered)", terminator: "")
                print(", unfiltered \(found.unfiltered)")
                Foundation.exit(0)
            } catch {
                Console.error("\(error)")
                Foundation.exit(1)
            }
        default:
            Threads.waitBriefly()
            HDF5Jail.turnOn()
        }
    }
}

/// The version that `--version` prints and that run directories record.
enum Version {
    static let text = "0.1.0"
}
