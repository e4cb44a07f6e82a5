import ArgumentParser

/// Makes, changes and looks at models.
struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Make students, change models and look at them.",
        subcommands: [
            Info.self, New.self, Prune.self, Resize.self, Merge.self, Export.self, Logits.self,
        ]
    )
}
