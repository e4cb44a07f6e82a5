/// The architectures that Retort knows, by the name that checkpoints give them.
enum ArchitectureRegistry {
    static let names = ["gpt2", "llama"]

    static func make(_ configuration: ModelConfiguration) -> any Architecture {
        configuration.modelType == "gpt2"
            ? GPT2(configuration: configuration) : Llama(configuration)
    }
}
