import ArgumentParser

/// Where a stage's settings come from: a file, and single settings laid over it.
struct SettingsOptions: ParsableArguments {
    @Option(help: "A YAML file with the settings of the stage.")
    var config: String?

    @Option(
        name: .customLong("set"),
        help: "key=value laid over the file; give it as often as needed."
    )
    var overrides: [String] = []

    @Flag(name: .customLong("dry-run"), help: "Say what would be done, and do nothing.")
    var isDryRun = false

    @Flag(name: .customLong("json"), help: "Print the result as JSON on standard output.")
    var isJSON = false

    /// The settings of one stage: the section of that name when the file has one, else all of it.
    func section(_ name: String) throws -> ConfigurationFile.Value {
        let file =
            try config.map { try ConfigurationFile($0, overrides: []) }
            ?? ConfigurationFile(overrides: [])
        let stage = file.root[name] ?? file.root
        guard case .mapping = stage else {
            throw ConfigurationError(
                place: stage.place,
                message: "these are no settings",
                remedy: "give a key and a value a line, such as `cache: runs/quickstart/cache`"
            )
        }
        return try stage.merging(ConfigurationFile(overrides: overrides).root)
    }
}
