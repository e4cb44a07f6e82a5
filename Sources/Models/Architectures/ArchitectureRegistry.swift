/// The architectures that Retort knows, by the name that checkpoints give them.
enum ArchitectureRegistry {
    static let names = [
        "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2",
        "qwen3",
    ]

    static func make(_ configuration: ModelConfiguration) -> any Architecture {
        configuration.modelType == "gpt2"
            ? GPT2(configuration: configuration) : Llama(configuration)
    }
}
