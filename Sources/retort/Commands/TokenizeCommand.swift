import ArgumentParser
import Extract
import Foundation
import Tokenizers

/// Texts to tokens and back, for people who check against another implementation.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Show the tokens of texts, or the texts of tokens.",
        discussion: """
            FILE has one JSON string a line, and "-" is standard input. With --json each line gives \
            {"ids": […], "pieces": […]}; without, one token a line (id, tab, piece) and an empty line \
            after each text. Names of added tokens in a text are those tokens. With --decode FILE has \
            a list of ids a line, or what --json printed, and each gives a JSON string.

            Example:
              retort tokenize models/smollm2-135m-instruct.gguf texts.jsonl --json > tokens.jsonl
              retort tokenize models/smollm2-135m-instruct.gguf tokens.jsonl --decode --special
            """
    )

    @Argument(help: "A Hugging Face directory, or a GGUF file (a vocabulary alone will do).")
    var model: String

    @Argument(help: "JSON Lines, or - for standard input.")
    var file: String

    @Flag(name: .customLong("json"), help: "Print JSON Lines.")
    var isJSON = false

    @Flag(
        help:
            "Add the tokens that the tokenizer puts around a text; with --decode, write special tokens."
    )
    var special = false

    @Flag(help: "From ids to text.")
    var decode = false

    func run() throws {
        let lines = try LineReader(file)
        let tokenizer = try Tokenizer(contentsOf: URL(fileURLWithPath: model))
        var output = OutputBuffer()
        do {
            while let line = try lines.next() {
                let place = "\(lines.name):\(lines.number)"
                if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
                    output.add(
                        try decode
                            ? text(line, tokenizer, place) : tokens(line, tokenizer, place)
                    )
                }
                // Whoever feeds a pipe line by line gets the answers line by line.
                if lines.isDrained { output.flush() }
            }
        } catch {
            output.flush()
            throw error
        }
        output.flush()
    }

    private func tokens(_ line: Data, _ tokenizer: Tokenizer, _ place: String) throws -> String {
        guard
            let text = try? JSONSerialization.jsonObject(with: line, options: .fragmentsAllowed)
                as? String
        else {
            throw Failure("\(place): not a JSON string", code: Failure.Code.badData)
        }
        let ids: [UInt32]
        do {
            ids = try tokenizer.encode(text, addSpecialTokens: special)
        } catch let error as TokenizerError {
            throw Failure("\(place): \(error.description)", code: Failure.Code.badData)
        }
        guard isJSON else {
            return ids.map { "\($0)\t\(JSONLine.quoted(tokenizer.piece($0)))\n" }.joined() + "\n"
        }
        let numbers = ids.map(String.init).joined(separator: ", ")
        let pieces = ids.map { JSONLine.quoted(tokenizer.piece($0)) }.joined(separator: ", ")
        return "{\"ids\": [\(numbers)], \"pieces\": [\(pieces)]}\n"
    }

    private func text(_ line: Data, _ tokenizer: Tokenizer, _ place: String) throws -> String {
        let ids = try IDList.parse(line, place: place)
        if let wrong = ids.firstIndex(where: { $0 >= tokenizer.vocabularySize }) {
            throw Failure(
                "\(place): id \(ids[wrong]) at position \(wrong) is beyond the tokenizer's "
                    + "\(tokenizer.vocabularySize) tokens",
                code: Failure.Code.badData
            )
        }
        return JSONLine.quoted(tokenizer.decode(ids, skipSpecialTokens: !special)) + "\n"
    }
}

/// Token ids in JSON.
enum IDList {
    /// A list of ids, or an object with one under `ids`.
    ///
    /// - Throws: `Failure` (65) naming the place.
    static func parse(_ line: Data, place: String) throws -> [UInt32] {
        struct Tokens: Decodable {
            let ids: [UInt32]
        }
        let decoder = JSONDecoder()
        if let ids = try? decoder.decode([UInt32].self, from: line) { return ids }
        if let tokens = try? decoder.decode(Tokens.self, from: line) { return tokens.ids }
        throw Failure(
            "\(place): not a JSON list of token ids, nor an object with such \"ids\"",
            code: Failure.Code.badData
        )
    }
}

/// Text as JSON writes it.
enum JSONLine {
    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{0}"..<"\u{20}", "\u{7F}", "\u{2028}", "\u{2029}":
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
