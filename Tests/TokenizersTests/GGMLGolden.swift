import Foundation

@testable import Tokenizers

/// A small SentencePiece-like vocabulary with expected ids, made by reference/ggml_goldens.py.
struct GGMLGolden: Decodable {
    struct Kind: Decodable {
        let architecture: String
        let tokens: [String]
        let types: [Int32]
        let scores: [Float]
        let merges: [[String]]
        let ids: [[UInt32]]
        let decoded: [String]
    }
    let strings: [String]
    let kinds: [Kind]

    static func read() throws -> GGMLGolden {
        try JSONDecoder().decode(GGMLGolden.self, from: Data(contentsOf: Fixtures.url("ggml.json")))
    }
}

extension GGMLVocabulary {
    init(_ kind: GGMLGolden.Kind) {
        self.init(
            model: "llama",
            pre: "default",
            tokens: kind.tokens,
            tokenTypes: kind.types,
            merges: [],
            bos: 1,
            eos: 2,
            unknown: 0
        )
        architecture = kind.architecture
        scores = kind.scores
    }
}
