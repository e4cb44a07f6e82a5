extension PromptTemplate {
    /// Every template, by name.
    public static let all = [
        alpaca, chatML(), dolly, gemma, llama2, llama3, mistral, phi3, plain, zephyr,
    ]

    /// The names that `named(_:)` knows.
    public static let names = all.map(\.name)

    /// The template of that name.
    ///
    /// - Throws: `TokenizerError.unknownName` with the nearest known name.
    public static func named(_ name: String) throws -> PromptTemplate {
        guard let template = all.first(where: { $0.name == name }) else {
            throw Names.unknown(name, of: names, kind: "prompt template")
        }
        return template
    }

    /// The prompt alone; an input follows after an empty line.
    public static let plain = PromptTemplate(
        name: "plain",
        withoutInput: [.prompt],
        withInput: [.prompt, .text("\n\n"), .input]
    )

    private static let introduction =
        "Below is an instruction that describes a task. Write a response that appropriately "
        + "completes the request.\n\n### Instruction:\n"

    /// Stanford Alpaca's, which the DSKD experiments use for Dolly's data too.
    public static let alpaca = PromptTemplate(
        name: "alpaca",
        withoutInput: [.text(introduction), .prompt, .text("\n\n### Response:\n")],
        withInput: [
            .text(
                "Below is an instruction that describes a task, paired with an input that "
                    + "provides further context. Write a response that appropriately completes "
                    + "the request.\n\n### Instruction:\n"
            ),
            .prompt, .text("\n\n### Input:\n"), .input, .text("\n\n### Response:\n"),
        ]
    )

    /// Databricks Dolly's: Alpaca's without input; one introduction and a bare `Input:` with it.
    public static let dolly = PromptTemplate(
        name: "dolly",
        withoutInput: [.text(introduction), .prompt, .text("\n\n### Response:\n")],
        withInput: [
            .text(introduction), .prompt, .text("\n\nInput:\n"), .input,
            .text("\n\n### Response:\n"),
        ]
    )

    /// ChatML: turns between `<|im_start|>` and `<|im_end|>`.
    ///
    /// - Parameter system: A system message to put first; none unless given.
    public static func chatML(system: String? = nil) -> PromptTemplate {
        var start: [Part] = []
        if let system {
            start = [.text("<|im_start|>system\n"), .given(system), .text("<|im_end|>\n")]
        }
        start.append(.text("<|im_start|>user\n"))
        return chat(
            "chatml",
            specialTokens: ["<|im_start|>", "<|im_end|>"],
            endOfTurn: "<|im_end|>",
            start,
            .message(trimmed: false),
            "<|im_end|>\n<|im_start|>assistant\n"
        )
    }

    /// Gemma's, 1 to 3, without a system message.
    public static let gemma = chat(
        "gemma",
        specialTokens: ["<start_of_turn>", "<end_of_turn>"],
        beginsSequence: true,
        endOfTurn: "<end_of_turn>",
        [.text("<start_of_turn>user\n")],
        .message(trimmed: true),
        "<end_of_turn>\n<start_of_turn>model\n"
    )

    /// Llama 2's without a system message.
    public static let llama2 = chat(
        "llama2",
        beginsSequence: true,
        [.text("[INST] ")],
        .message(trimmed: true),
        " [/INST]"
    )

    /// Llama 3's without a system message; later versions put one with today's date first.
    public static let llama3 = chat(
        "llama3",
        specialTokens: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        beginsSequence: true,
        endOfTurn: "<|eot_id|>",
        [.text("<|start_header_id|>user<|end_header_id|>\n\n")],
        .message(trimmed: true),
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )

    /// Mistral 7B Instruct's, versions 0.1 and 0.2: Llama 2's with the message as it stands.
    public static let mistral = chat(
        "mistral",
        beginsSequence: true,
        [.text("[INST] ")],
        .message(trimmed: false),
        " [/INST]"
    )

    /// Phi-3's without a system message.
    public static let phi3 = chat(
        "phi3",
        specialTokens: ["<|user|>", "<|end|>", "<|assistant|>"],
        endOfTurn: "<|end|>",
        [.text("<|user|>\n")],
        .message(trimmed: false),
        "<|end|>\n<|assistant|>\n"
    )

    /// Zephyr's and TinyLlama's, without a system message; `</s>` ends a turn.
    public static let zephyr = chat(
        "zephyr",
        specialTokens: ["</s>"],
        [.text("<|user|>\n")],
        .message(trimmed: false),
        "</s>\n<|assistant|>\n"
    )

    private static func chat(
        _ name: String,
        specialTokens: [String] = [],
        beginsSequence: Bool = false,
        endOfTurn: String? = nil,
        _ start: [Part],
        _ message: Part,
        _ end: String
    ) -> PromptTemplate {
        let parts = start + [message, .text(end)]
        return PromptTemplate(
            name: name,
            specialTokens: specialTokens,
            beginsSequence: beginsSequence,
            endOfTurn: endOfTurn,
            withoutInput: parts,
            withInput: parts
        )
    }
}
