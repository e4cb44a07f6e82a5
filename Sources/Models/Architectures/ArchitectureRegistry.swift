/// The architectures that Retort knows, by the name that checkpoints give them.
enum ArchitectureRegistry {
    /// In the order of the alphabet, for messages.
    static let names = [
        "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2",
        "qwen3",
    ]

    /// - Precondition: The configuration was read from a file or validated, so its name is known.
    static func make(_ configuration: ModelConfiguration) -> any Architecture {
        switch configuration.modelType {
        case "gemma2": Gemma2(configuration)
        case "gemma3_text": Gemma3(configuration)
        case "gpt2": GPT2(configuration: configuration)
        case "gpt_neox": GPTNeoX(configuration)
        case "llama", "mistral": Llama(configuration)
        case "olmo2": OLMo2(configuration)
        case "phi3": Phi3(configuration)
        case "qwen2": Qwen2(configuration)
        case "qwen3": Qwen3(configuration)
        default: preconditionFailure("no architecture \"\(configuration.modelType)\"")
        }
    }
}
