import ArgumentParser
import Cache
import Distill
import Extract
import Foundation
import Tokenizers

/// All stages of a pipeline file.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Do the stages of a pipeline file that are not done yet.",
        discussion: """
            Extract, make the student, distil, evaluate, report. Everything lies under the file's "output" \
            directory. Run again, it does only what is missing; stopped or killed, it goes on from there. \
            A file with the stage "simulation" has that one alone: the paper's simulation, with pictures.

            Examples:
              retort run pipelines/quickstart.yaml
              retort run pipelines/simulation.yaml
              retort run pipelines/quickstart.yaml --set seed=2 --set output=runs/seed2 \\
                --set cache=runs/quickstart/cache
            """
    )

    @Argument(help: "The pipeline file.")
    var file: String

    @Option(
        name: .customLong("set"),
        help: "key=value laid over the file; give it as often as needed."
    )
    var overrides: [String] = []

    @Flag(name: .customLong("dry-run"), help: "Say what would be done, and do nothing.")
    var isDryRun = false

    @Flag(name: .customLong("json"), help: "Print the results as JSON on standard output.")
    var isJSON = false

    func validate() throws {
        guard !(isDryRun && isJSON) else {
            throw ValidationError("--dry-run prints no JSON; leave out one of the two")
        }
    }

    func run() throws {
        try DistillRanks.requireOne(for: "retort run")
        let configuration = try ConfigurationFile(file, overrides: overrides)
        if configuration.root["simulation"] != nil {
            let simulation = try SimulationPipeline(configuration)
            if isDryRun {
                Console.print(try SimulationStage.plan(simulation))
            } else {
                try SimulationStage.run(simulation, isJSON: isJSON)
            }
            return
        }
        let pipeline = try Pipeline(configuration)
        if isDryRun {
            try plan(pipeline)
            return
        }
        let output = URL(fileURLWithPath: pipeline.output)
        try Console.log(to: output.appendingPathComponent("log.txt"))
        Console.say(
            "\(pipeline.name): everything goes to \(pipeline.output)/ "
                + "(retort watch \(ShellWord.quoted(pipeline.output)) shows how it goes)"
        )
        // Before an hour of extraction.
        if case .directory(let path) = pipeline.student { try StudentStage.requireModel(path) }
        try extract(pipeline)
        try StudentStage.run(pipeline)
        for (name, settings) in pipeline.runs { try DistillStage.run(settings, title: name) }
        let evalURL = output.appendingPathComponent("eval.json")
        let result = try EvalStage.run(
            cache: pipeline.extract.output,
            models: pipeline.runs.map { ($0.name, "\($0.settings.output)/student") },
            settings: pipeline.eval,
            output: evalURL,
            // The pipeline's own directory.
            replace: true
        )
        if isJSON {
            Console.print(try jsonText(result))
        } else {
            Console.print("\n" + EvalTable(result.reports).text)
        }
        try ReportStage.write(
            pipeline.runs.map(\.settings.output),
            to: output.appendingPathComponent("report.html")
        )
        conclude(pipeline)
    }

    private func extract(_ pipeline: Pipeline) throws {
        let settings = pipeline.extract
        if !FileManager.default.fileExists(atPath: settings.teacher),
            let reader = try? CacheReader(directory: URL(fileURLWithPath: settings.output))
        {
            try requireSame(settings, reader.manifest.description)
            Console.say(
                "extract: the cache \(settings.output) is complete; the teacher is not here, and is "
                    + "not needed"
            )
        } else {
            let extraction = try Extraction(settings)
            // Before an hour of it.
            try requireSplit(pipeline.eval.split, among: extraction.splits)
            try ExtractStage.run(extraction, settings)
        }
        let reader = try CacheReader(directory: URL(fileURLWithPath: settings.output))
        try requireSplit(
            pipeline.eval.split,
            among: reader.manifest.splits.filter { $0.value > 0 }.keys
        )
    }

    private func requireSplit(_ split: String, among found: some Collection<String>) throws {
        guard !found.contains(split) else { return }
        throw ConfigurationError(
            place: "eval.split",
            message:
                "there is no example of split \"\(split)\", only of \(found.sorted().joined(separator: ", "))",
            remedy:
                "give examples of the data a \"split\" (scripts/with_split.py does), or name one that is there"
        )
    }

    /// What can be compared without the teacher must be what the cache was made with.
    private func requireSame(_ settings: ExtractSettings, _ made: CacheDescription) throws {
        var differences: [String] = []
        func compare(_ key: String, _ wanted: some Equatable, _ found: some Equatable) {
            if "\(wanted)" != "\(found)" {
                differences.append("\(key): \(wanted) here, \(found) there")
            }
        }
        if settings.template != PromptTemplate.automatic {
            compare("template", settings.template, made.template)
        }
        compare("max_prompt_length", settings.maxPromptLength, made.maxPromptLength)
        compare("max_length", settings.maxLength, made.maxLength)
        compare("top_k", settings.storedTopK, made.topK)
        differences += settings.signals.differences(from: made.signals)
        let data = URL(fileURLWithPath: settings.data)
        if FileManager.default.fileExists(atPath: data.path) {
            compare("data", try sha256(of: data), made.dataset.sha256)
        }
        guard differences.isEmpty else {
            throw Failure(
                "\(settings.output): the cache was made with other settings "
                    + "(\(differences.joined(separator: "; "))), and the teacher \(settings.teacher) is "
                    + "not here to make it anew",
                code: Failure.Code.badData
            )
        }
    }

    private func plan(_ pipeline: Pipeline) throws {
        if FileManager.default.fileExists(atPath: pipeline.extract.teacher) {
            try ExtractStage.show(try Extraction(pipeline.extract).forecast(), asJSON: false)
        } else {
            Console.print("extract: the teacher \(pipeline.extract.teacher) is not here")
        }
        if case .directory(let path) = pipeline.student,
            !FileManager.default.fileExists(atPath: path)
        {
            Console.print("student: the model \(path) is not here")
        } else {
            Console.print("student: \(pipeline.studentDirectory)")
        }
        for (name, settings) in pipeline.runs {
            let length =
                settings.steps.map { "\($0) steps" }
                ?? "\(settings.epochs ?? DistillSettings.defaultEpochs) epochs"
            let isDone = DoneRecord.read(URL(fileURLWithPath: settings.output)) != nil
            Console.print(
                "distill \(name): \(settings.criterion), \(length) of \(settings.stepInWords)"
                    + (isDone ? " (done)" : "")
            )
        }
        Console.print("eval: split \(pipeline.eval.split) -> \(pipeline.output)/eval.json")
    }

    private func conclude(_ pipeline: Pipeline) {
        let last = pipeline.runs.last.map { "\($0.settings.output)/student" } ?? "STUDENT"
        let again = [
            "seed=2", "output=\(pipeline.output)-seed2", "cache=\(pipeline.extract.output)",
        ]
        let settings = again.map { "--set \(ShellWord.quoted($0))" }.joined(separator: " ")
        let students = pipeline.runs.map { "\($0.settings.output)/student" }
        Console.say(
            """
            "loss/byte" and "KL byte" compare models with different vocabularies; lower is better.

            The files:
              \(pipeline.extract.output)  the teacher's cache: retort cache inspect \
            \(pipeline.extract.output)
              \(students.joined(separator: "\n  "))  (Hugging Face directories)
              \(pipeline.output)/report.html  all of it on a page: open it in a browser
              \(pipeline.output)/eval.json  the table above
              \(pipeline.output)/log.txt and \(pipeline.output)/<run>/metrics.jsonl

            Next:
              retort generate --model \(ShellWord.quoted(last)) --prompts PROMPTS.jsonl \
            --output answers.jsonl
              retort run \(ShellWord.quoted(file)) \(settings)
            """
        )
    }
}
