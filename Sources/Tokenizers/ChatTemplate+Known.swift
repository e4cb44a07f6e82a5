extension ChatTemplate {
    /// Prompt template by fingerprint of the known texts.
    ///
    /// Made by reference/template_goldens.py.
    static let known = [
        // Qwen1.5
        "61b2ac9b26996400fa533edf8a13eb1d": "chatml",
        // OpenHermes 2.5
        "11771dbb557e677881179a9f2d915c89": "chatml",
        // Llama 2 chat
        "32b11a5b428d480130e629c5beb4d880": "llama2",
        // Llama 3 Instruct
        "0c8ac79f2e03801630c7906754ab7dab": "llama3",
        // Mistral Instruct 0.1 and 0.2
        "099089a040e55820a2fd5991f07182fe": "mistral",
        // Phi-3 mini
        "2e74a65be653a38a440d1b3d1c6736a6": "phi3",
        // Phi-3 medium
        "f5450ac5ceea2bfed003de9f9a64968a": "phi3",
        // Zephyr and TinyLlama chat
        "f49c181f61634843a57af3a08c14bc31": "zephyr",
        // Gemma 2
        "d4d5ada22b188b12a497ec4a8fd162d4": "gemma",
        // Phi-3.5 mini
        "c21bdf33f83f66ca2e6fd4e21738a735": "phi3",
        // Qwen3
        "3862ffda28b935315424e2d768666563": "chatml",
        // Qwen3 Coder
        "9847be27884a5445d69917a5ae636a44": "chatml",
    ]
}
