import Cache
import Distill
import Foundation
import Tokenizers

/// One example of a cache as a person reads it.
struct CacheExample: Encodable {
    /// A token by number and in letters.
    struct Token: Encodable {
        var id: UInt32
        /// Nil where the cache's tokenizer cannot be read.
        var text: String?
        /// At this position, where it is known.
        var probability: Double?
    }

    /// What the teacher said at one position.
    struct Position: Encodable {
        var position: Int
        var token: Token
        /// The token that comes next.
        var label: Token?
        var top: [Token]
    }

    var id: String
    var number: Int
    var shard: Int
    var split: String
    var prompt: String
    var input: String
    var response: String
    var tokens: Int
    /// First and one-past-last supervised position.
    var supervised: [Int]
    var positions: [Position]
    /// What is not shown, and why.
    var notes: [String]

    /// - Parameters:
    ///   - positions: How many of the first supervised positions are decoded.
    ///   - top: How many likely tokens of each.
    init(_ reader: CacheReader, _ place: CacheReader.Place, positions: Int, top: Int) throws {
        let record = try reader.shard(place.shard).record(place.record, hidden: false)
        let description = reader.manifest.description
        let number = reader.manifest.shards[..<place.shard].reduce(0) { $0 + $1.records }
        (id, self.number, shard) = (record.id, number + place.record, place.shard)
        (split, prompt) = (record.split, record.prompt)
        (input, response) = (record.input, record.response)
        tokens = record.tokenIDs.count
        supervised = [record.supervised.lowerBound, record.supervised.upperBound]
        notes = []
        var letters: TokenText?
        do {
            letters = TokenText(try Evaluator.teacherTokenizer(of: reader))
        } catch let error as TokenizerError {
            notes.append("tokens are shown by number, for the cache's tokenizer is: \(error)")
        } catch let error as DistillError {
            notes.append("tokens are shown by number: \(error)")
        }
        let k = description.topK
        if k == 0 {
            notes.append(
                "no likely tokens, for the cache has no top-k; extract with extract.top_k set, "
                    + "such as 64"
            )
        } else if top > k {
            notes.append("\(k) likely tokens at each position, for the cache has no more")
        }
        func token(_ id: UInt32, _ logProbability: Float? = nil) -> Token {
            Token(
                id: id,
                text: letters?[id],
                probability: logProbability.map { exp(Double($0)) }
            )
        }
        self.positions = record.supervised.prefix(positions).map { position in
            let first = (position - record.supervised.lowerBound) * k
            let entries = zip(record.topKIDs, record.topKLogProbs).dropFirst(first).prefix(k)
            let label = record.tokenIDs[position + 1]
            let found = entries.first { $0.0 == label }?.1
            let likely = entries.sorted { ($0.1, $1.0) > ($1.1, $0.0) }
            return Position(
                position: position,
                token: token(record.tokenIDs[position]),
                label: token(label, found),
                top: likely.prefix(top).map { token($0.0, $0.1) }
            )
        }
    }

    /// Characters of each text that a terminal shows.
    private static let textLimit = 600

    /// For a terminal: texts are cut and escaped.
    var table: String {
        var lines = [
            "example   \(number) in shard \(shard), id \(id), split \(DisplayText.escaped(split))",
            "          \(tokens) tokens, supervised positions \(supervised[0]) to "
                + "\(supervised[1] - 1) (\(supervised[1] - supervised[0]))",
        ]
        if supervised[0] == supervised[1] {
            lines[1] = "          \(tokens) tokens, no supervised positions"
        }
        for (name, text) in [("prompt", prompt), ("input", input), ("response", response)]
        where !text.isEmpty {
            let padding = String(repeating: " ", count: 10 - name.count)
            lines.append(name + padding + DisplayText.shortened(text, to: Self.textLimit))
        }
        if !positions.isEmpty { lines += [""] + rows }
        lines += notes.map { "note      \(DisplayText.escaped($0))" }
        return lines.joined(separator: "\n")
    }

    private var rows: [String] {
        let cells =
            [["position", "token", "next", "likely next"]]
            + positions.map { position in
                [
                    "\(position.position)", Self.words(position.token),
                    position.label.map(Self.words) ?? "",
                    position.top.map(Self.words).joined(separator: "  "),
                ]
            }
        let widths = (0..<3).map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
                .joined(separator: "  ") + (row[3].isEmpty ? "" : "  " + row[3])
        }
    }

    private static func words(_ token: Token) -> String {
        let text = token.text.map { "'\(DisplayText.escaped($0))'" } ?? "#\(token.id)"
        guard let probability = token.probability else { return text }
        return text + String(format: " %.1f%%", probability * 100)
    }
}

/// Tokens in letters.
struct TokenText {
    private let tokenizer: Tokenizer

    init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
    }

    /// The text that a token stands for, or the piece of a special token.
    ///
    /// Bytes that are no whole letters are written as `<0xE2>`. Nil for an id without a piece, such as
    /// that of a padded row of a head.
    subscript(_ id: UInt32) -> String? {
        let bytes = tokenizer.bytes(of: id)
        if bytes.isEmpty {
            let piece = tokenizer.piece(id)
            return piece.isEmpty ? nil : piece
        }
        return String(validating: bytes, as: UTF8.self)
            ?? bytes.map { $0 < 0x80 ? String(UnicodeScalar($0)) : String(format: "<0x%02X>", $0) }
            .joined()
    }
}
