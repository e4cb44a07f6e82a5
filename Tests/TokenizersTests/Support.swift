import Foundation
import Testing

@testable import Tokenizers

/// The golden files made by reference/tokenizer_goldens.py.
enum Fixtures {
    static let tokenizers = ["gpt-2", "prefix", "smollm", "qwen2", "llama-bpe"]

    struct Expected: Decodable {
        var ids: [[UInt32]]
        var plain: [[UInt32]]
        var decoded: [String]
        var around: [UInt32]
    }

    static func url(_ name: String) throws -> URL {
        let folder = try #require(
            Bundle.module.url(forResource: "Fixtures", withExtension: nil)
        )
        return folder.appendingPathComponent(name)
    }

    static func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer(directory: url(name))
    }

    static func strings(_ name: String = "strings.json") throws -> [String] {
        try JSONDecoder().decode([String].self, from: Data(contentsOf: url(name)))
    }

    static func expected(_ name: String) throws -> Expected {
        let data = try Data(contentsOf: url("\(name)/expected.json"))
        return try JSONDecoder().decode(Expected.self, from: data)
    }

    /// What a GGUF file would hold of one of the small tokenizers.
    static func ggml(_ name: String, pre: String) throws -> GGMLVocabulary {
        let root = try JSONReader.read(url("\(name)/tokenizer.json"))
        let file = TokenizerFile(path: name)
        let definition = try file.definition(root)
        var tokens = [String](repeating: "", count: definition.vocabulary.count)
        for entry in definition.vocabulary { tokens[entry.id] = entry.piece }
        var types = [Int32](repeating: 1, count: tokens.count)
        for token in definition.added { types[token.id] = 3 }
        return GGMLVocabulary(
            model: "gpt2",
            pre: pre,
            tokens: tokens,
            tokenTypes: types,
            merges: definition.merges.map { "\($0.left) \($0.right)" },
            bos: 1,
            eos: 0
        )
    }
}

/// A directory that is removed when the last user lets it go.
final class TemporaryDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-tokenizers-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: url.appendingPathComponent(name))
    }
}
