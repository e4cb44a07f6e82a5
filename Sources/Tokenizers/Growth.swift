/// How much longer the steps of a tokenizer may make a text: a small file with many steps that each
/// double it would otherwise take all memory.
enum Growth {
    static let times = 64

    /// The most bytes that a text of `count` bytes may become.
    static func limit(_ count: Int) -> Int { count * times + 1 << 20 }

    static func error(_ place: String) -> TokenizerError {
        .unsupported(
            path: "the tokenizer",
            what: "a \(place) that makes a text more than \(times) times as long",
            known: []
        )
    }

    /// How many times as long `steps` make a text at most, since decoding cannot fail.
    static func factor(_ steps: [DecoderStep]) -> Double {
        steps.reduce(1) { factor, step in
            switch step {
            case .replace(.literal(let literal), let content):
                factor * max(1, Double(content.utf8.count) / Double(literal.utf8.count))
            case .replace(.regex, let content):
                // It may match nothing, before each byte.
                factor * Double(1 + content.utf8.count)
            // U+FFFD, of three bytes, stands for a wrong byte, of two in the alphabet.
            case .byteLevel: factor * 1.5
            case .byteFallback, .fuse, .strip, .metaspace: factor
            }
        }
    }
}
