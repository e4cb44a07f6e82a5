extension LoraAdapter {
    /// Whether a weight is the head, in any family.
    static func isHead(_ name: String) -> Bool {
        ["lm_head.weight", "embed_out.weight"].contains(name)
    }

    private static func isEmbedding(_ name: String) -> Bool {
        ["embed_tokens.weight", "wte.weight", "embed_in.weight"].contains(where: name.hasSuffix)
    }

    /// Gives a model whose head is its embedding a head of its own, when the adapter brings one.
    ///
    /// - Throws: `ModelError` `unsupported` when the adapter changes one of the two tied: merged, the
    ///   other would change with it, which is not what was trained.
    func untie(_ configuration: inout ModelConfiguration) throws {
        guard configuration.tiesEmbeddings else { return }
        if replacements.keys.contains(where: Self.isHead) {
            configuration.tiesEmbeddings = false
        }
        let changed = Array(products.keys) + Array(replacements.keys)
        let tied = changed.first { Self.isHead($0) || Self.isEmbedding($0) }
        guard configuration.tiesEmbeddings, let tied else { return }
        throw ModelError(
            .unsupported,
            path: path,
            "\(tied) is changed, but the base model's head and embedding are one weight",
            remedy: "Merge the adapter with PEFT's merge_and_unload and give the result."
        )
    }
}
