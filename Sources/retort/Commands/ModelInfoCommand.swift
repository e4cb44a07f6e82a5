import ArgumentParser
import Extract
import Foundation
import Models
import Tokenizers

extension ModelCommand {
    /// What a model is.
    struct Info: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a model directory or GGUF file holds.",
            discussion: """
                No weights are read, so it is quick for any size; --fingerprint reads them all.

                Example:
                  retort model info models/smollm2-135m-instruct.gguf
                """
        )

        @Argument(help: "A Hugging Face directory, or a GGUF file (a vocabulary alone will do).")
        var model: String

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        @Flag(help: "Show the SHA-256 of the weights too, as caches record it.")
        var fingerprint = false

        func run() throws {
            let url = URL(fileURLWithPath: model)
            let facts = ModelFacts(
                model: try ModelFacts.Weights(url, fingerprint: fingerprint),
                tokenizer: try ModelFacts.Words(url)
            )
            Console.print(isJSON ? try jsonText(facts) : facts.table)
        }
    }
}

/// What `model info` shows.
struct ModelFacts: Encodable {
    /// Nil for a vocabulary without weights.
    let model: Weights?
    let tokenizer: Words

    /// The model's sizes and what it takes to run it.
    struct Weights: Encodable {
        /// Tensors and bytes of one encoding.
        struct Share: Encodable {
            let type: String
            let tensors, bytes: Int
        }

        /// Bytes of weights in memory.
        struct Memory: Encodable {
            /// The whole model.
            let whole: Int
            /// The embedding, the head and the largest layer.
            let layerByLayer: Int
        }

        let architecture: String
        let hiddenSize, layers, heads, keyValueHeads, headSize, intermediateSize: Int
        let vocabulary, positions: Int
        let tiedHead: Bool
        let parameters, fileBytes: Int
        let types: [Share]
        let f32, bf16: Memory
        let fingerprint: String?

        /// - Returns: Nil for a GGUF file without tensors.
        init?(_ url: URL, fingerprint wantsFingerprint: Bool) throws {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
            if !isDirectory.boolValue, FileManager.default.fileExists(atPath: url.path),
                try GGUFFile(path: url.path).tensorNames.isEmpty
            {
                return nil
            }
            let checkpoint = try Checkpoint(url)
            let summary = checkpoint.summary
            let c = checkpoint.configuration
            architecture = c.modelType
            hiddenSize = c.hiddenSize
            layers = c.layerCount
            heads = c.headCount
            keyValueHeads = c.keyValueHeadCount
            headSize = c.headSize
            intermediateSize = c.intermediateSize
            vocabulary = c.vocabularySize
            positions = c.maxPositions
            tiedHead = c.tiesEmbeddings
            parameters = summary.parameters
            fileBytes = summary.bytes
            types = summary.types.map {
                Share(type: $0.type.rawValue, tensors: $0.tensors, bytes: $0.bytes)
            }
            var byLayer: [Int: Int] = [:]
            for tensor in checkpoint.tensors {
                byLayer[Self.layer(of: tensor.name), default: 0] += tensor.elementCount
            }
            let outside = byLayer.removeValue(forKey: -1) ?? 0
            let one = outside + (byLayer.values.max() ?? 0)
            f32 = Memory(whole: 4 * parameters, layerByLayer: 4 * one)
            bf16 = Memory(whole: 2 * parameters, layerByLayer: 2 * one)
            fingerprint = wantsFingerprint ? try weightsFingerprint(url) : nil
        }

        /// The first number in a tensor's name, such as 3 of `model.layers.3.mlp.up_proj.weight`; -1 for
        /// what lies outside the layers.
        private static func layer(of name: String) -> Int {
            name.split(separator: ".").lazy.compactMap { Int($0) }.first ?? -1
        }
    }

    /// The tokenizer and the prompt template.
    struct Words: Encodable {
        /// A token with a role.
        struct Token: Encodable {
            let id: Int
            let piece: String
        }

        let tokens: Int
        let fingerprint: String
        let begin, end, padding: Token?
        let special: Int
        /// What a text gets around it: pieces before and after.
        let added: [String]
        let hasChatTemplate: Bool
        /// The prompt template that the model's own chat template equals.
        let template: String?
        /// The one it looks like, where it equals none.
        let similarTemplate: String?

        init(_ url: URL) throws {
            let tokenizer = try Tokenizer(contentsOf: url)
            func token(_ id: UInt32?) -> Token? {
                id.map { Token(id: Int($0), piece: tokenizer.piece($0)) }
            }
            tokens = tokenizer.vocabularySize
            fingerprint = tokenizer.fingerprint
            begin = token(tokenizer.beginOfSequence)
            end = token(tokenizer.endOfSequence)
            padding = token(tokenizer.padding)
            special = (0..<UInt32(tokens)).count { tokenizer.isSpecial($0) }
            added = try tokenizer.encode("", addSpecialTokens: true).map { tokenizer.piece($0) }
            let chat = try ChatTemplate.text(modelAt: url)
            hasChatTemplate = chat != nil
            template = chat.flatMap { ChatTemplate.recognised($0) }
            similarTemplate = template == nil ? chat.flatMap { ChatTemplate.suggestion($0) } : nil
        }
    }
}

extension ModelFacts {
    /// For people.
    var table: String {
        var lines: [(String, String)] = []
        if let model {
            let millions = String(format: "%.1f", Double(model.parameters) / 1e6)
            let types = model.types.map { "\($0.type) \($0.tensors) tensors" }
            func memory(_ memory: Weights.Memory) -> String {
                "\(ProgressLine.bytes(memory.whole)) whole, "
                    + "\(ProgressLine.bytes(memory.layerByLayer)) layer by layer"
            }
            lines = [
                (
                    "architecture",
                    model.architecture + (model.tiedHead ? ", head tied to the embedding" : "")
                ), ("parameters", "\(millions) million, \(ProgressLine.bytes(model.fileBytes))"),
                ("stored as", types.joined(separator: ", ")),
                (
                    "hidden size",
                    "\(model.hiddenSize), \(model.layers) layers, \(model.heads) heads of "
                        + "\(model.headSize) (\(model.keyValueHeads) for keys and values), MLP "
                        + "\(model.intermediateSize)"
                ), ("positions", "\(model.positions)"), ("vocabulary", "\(model.vocabulary)"),
                ("weights, f32", memory(model.f32)), ("weights, bf16", memory(model.bf16)),
            ]
            if let hash = model.fingerprint { lines.append(("fingerprint", hash)) }
        } else {
            lines = [("model", "none: the file holds a vocabulary only")]
        }
        lines += [
            ("tokenizer", "\(tokenizer.tokens) tokens, \(tokenizer.special) of them special"),
            ("", "fingerprint \(tokenizer.fingerprint)"),
        ]
        for (role, token) in [
            ("begin", tokenizer.begin), ("end", tokenizer.end), ("padding", tokenizer.padding),
        ] {
            guard let token else { continue }
            lines.append(("", "\(role) token \(token.id) \(JSONLine.quoted(token.piece))"))
        }
        lines.append(("template", template))
        return lines.map { name, text in
            name.padding(toLength: 15, withPad: " ", startingAt: 0) + text
        }.joined(separator: "\n")
    }

    private var template: String {
        guard tokenizer.hasChatTemplate else {
            return "the model has no chat template; give one with template:"
        }
        if let name = tokenizer.template { return "\(name) (the model's own chat template is it)" }
        guard let near = tokenizer.similarTemplate else {
            return "the model's own is none of the known ones; give one with template:"
        }
        return "the model's own looks like \(near), perhaps with a system message; "
            + "set template: \(near)"
    }
}
