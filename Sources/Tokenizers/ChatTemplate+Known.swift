extension ChatTemplate {
    /// Prompt template by fingerprint.
    static let known: [String: String] = [:]
}
