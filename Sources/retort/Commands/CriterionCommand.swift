import ArgumentParser
import Cache
import Distill
import Foundation
import Tensors

/// Losses by themselves, for people who hold them against their own code.
struct CriterionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "criterion",
        abstract: "Evaluate a criterion on given tensors; list the criteria.",
        subcommands: [Run.self, List.self]
    )

    /// The criteria, a line each.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the criteria.",
            discussion: "Example:\n  retort criterion list"
        )

        func run() throws {
            let names = CriterionRegistry.names
            let width = names.map(\.count).max() ?? 0
            for name in names {
                let summary = try CriterionRegistry.type(name).summary
                Console.print(
                    name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + summary
                )
            }
        }
    }

    /// One evaluation, with gradients.
    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Evaluate a criterion and its gradients on the tensors of an HDF5 file.",
            discussion: """
                INPUT holds one batch: student/hidden [n, d], student/head [Vs, d], student/labels [n], \
                student/offsets [E + 1], the same of the teacher, projectors/t2s/weight …. OUTPUT gets \
                loss/total … (float64) and grad/student/hidden … (float32). docs/criterion-run.md has the \
                whole layout, and both sides in Python.

                Examples:
                  retort criterion run --name kd --input in.h5 --output out.h5
                  retort criterion run --name dskd_cma --input in.h5 --output out.h5 --replace \\
                    --set divergence=reverse_kl --set temperature=1 --set compute=bf16

                Criteria: \(CriterionRegistry.names.joined(separator: ", "))
                Settings: \(keys.joined(separator: ", "))
                Divergences: \(Divergence.allCases.map(\.rawValue).joined(separator: ", "))
                """
        )

        /// Those of a distillation that its criterion sees; they have the same defaults.
        private static let keys = [
            DistillSettings.CodingKeys.kdRate, .temperature, .teacherTemperature, .divergence,
            .temperatureSquared, .labelSmoothing, .teacherSignal, .topKTail, .projectors,
            .topVocabulary, .agreement, .compute, .headMemoryMiB,
        ].map(\.rawValue)

        @Option(help: "A criterion; `retort criterion list` has them.")
        var name: String

        @Option(help: "The HDF5 file to read.")
        var input: String

        @Option(help: "The HDF5 file to write.")
        var output: String

        @Option(
            name: .customLong("set"),
            help: "key=value; give it as often as needed."
        )
        var overrides: [String] = []

        @Flag(help: "Write over an output that is there.")
        var replace = false

        func run() throws {
            let settings = try settings()
            try OutputFile.check(output, replace: replace, sources: [input])
            let url = URL(fileURLWithPath: input)
            // Nothing is lost by a stop before there is a result.
            let result = try Signals.stoppingAtOnce {
                try Self.namingSettings {
                    try settings.validate()
                    return try CriterionRun.evaluate(
                        name,
                        settings: settings.criterionSettings(for: CriterionRegistry.type(name)),
                        on: CriterionInput(url),
                        compute: settings.compute,
                        headMemory: settings.headMemoryMiB << 20
                    )
                }
            }
            try result.write(to: URL(fileURLWithPath: output))
            let width = result.losses.keys.map(\.count).max() ?? 0
            for (name, value) in result.losses.sorted(by: { $0.key < $1.key }) {
                Console.print(
                    name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + "\(value)"
                )
            }
            if settings.compute != settings.compute.available {
                Console.say("this processor has no bf16 products: f32 was used")
            }
            Console.say(
                "\(result.losses.count) losses, \(result.gradients.count) gradients in \(output)"
            )
        }

        private func settings() throws -> DistillSettings {
            let given = try ConfigurationFile(overrides: overrides).root
            // Unknown keys first, of those that can be set here.
            _ = try given.decode(NoSettings.self, keys: Self.keys, section: "set")
            // What a distillation needs besides stands for nothing here.
            return try DistillStage.decode(
                given.defaulting("cache", to: "none").defaulting("output", to: "none")
                    .defaulting("criterion", to: name),
                student: "none",
                section: "set"
            )
        }

        /// A setting that makes no sense was given on the command line.
        private static func namingSettings<Result>(_ body: () throws -> Result) throws -> Result {
            do {
                return try body()
            } catch DistillError.badSetting(let key, let value, let remedy) {
                throw Failure(
                    "--set \(key): \(value) makes no sense; \(remedy)",
                    code: Failure.Code.usage
                )
            }
        }

        /// Takes any keys.
        private struct NoSettings: Decodable {}
    }
}
