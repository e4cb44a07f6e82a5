import Tokenizers

extension Tokenizer {
    /// A token as a person reads it: its text, or the vocabulary's spelling where it has none of its own.
    func readable(_ id: UInt32) -> String {
        let bytes = bytes(of: id)
        guard !bytes.isEmpty, let text = String(validating: bytes, as: UTF8.self) else {
            return piece(id)
        }
        return text
    }
}
