import Cache
import Foundation

/// One example as a dataset file has it.
public struct Example: Sendable, Equatable {
    /// The part of the dataset it belongs to: `train` unless the file says otherwise.
    public var split: String
    /// The instruction, before any template.
    public var prompt: String
    /// A text that the instruction speaks of; empty when there is none.
    public var input: String
    /// The answer to learn.
    public var response: String

    /// A record's key: the same text always has the same one, 32 hex digits.
    public var id: String {
        let text = [prompt, input, response].joined(separator: "\u{0}")
        return String(sha256(of: Data(text.utf8)).prefix(32))
    }
}

/// Examples read from a JSON Lines file.
public struct Dataset: Sendable {
    /// In the order of the file, each once.
    public let examples: [Example]
    /// Lines left out because the same text stood earlier.
    public let duplicateCount: Int
    /// Of the whole file.
    public let sha256: String

    /// Reads a file with one JSON object a line.
    ///
    /// Keys: `prompt` or `instruction`; `response` or `output` (text, or a list whose first is
    /// taken); `input` and `split` when there are any. An `instruction` goes before a `prompt`,
    /// which the paper's files have beside it with the template already applied.
    /// - Throws: `ExtractError` naming file and line.
    public init(contentsOf url: URL, splits: [String]? = nil, limit: Int? = nil) throws {
        guard let data = try? Data(contentsOf: url, options: .mappedIfSafe) else {
            throw ExtractError(
                .missing,
                url.path,
                "the dataset cannot be read",
                remedy: "Check the path; it is relative to where you run retort"
            )
        }
        sha256 = Cache.sha256(of: data)
        var examples: [Example] = []
        var seen: Set<String> = []
        var duplicates = 0
        for (index, line) in data.split(separator: 0x0A, omittingEmptySubsequences: false)
            .enumerated()
        {
            let blank = line.allSatisfy { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }
            if blank { continue }
            let example = try Self.parse(Data(line), place: "\(url.path):\(index + 1)")
            guard splits?.contains(example.split) ?? true else { continue }
            guard seen.insert(example.id).inserted else {
                duplicates += 1
                continue
            }
            examples.append(example)
            if let limit, examples.count >= limit { break }
        }
        guard !examples.isEmpty else {
            let asked = splits.map { " of split \($0.joined(separator: ", "))" } ?? ""
            throw ExtractError(
                .badData,
                url.path,
                "the dataset has no examples\(asked)",
                remedy: "Give one JSON object a line with \"prompt\" and \"response\""
            )
        }
        self.examples = examples
        duplicateCount = duplicates
    }

    private static func parse(_ line: Data, place: String) throws -> Example {
        func bad(_ message: String) -> ExtractError {
            ExtractError(
                .badData,
                place,
                message,
                remedy: "Each line is a JSON object with \"prompt\" and \"response\""
            )
        }
        let parsed: Any
        do { parsed = try JSONSerialization.jsonObject(with: line) } catch {
            throw bad("this line is not JSON")
        }
        guard let object = parsed as? [String: Any] else { throw bad("this line is no object") }
        guard let prompt = object["instruction"] as? String ?? object["prompt"] as? String else {
            throw bad("there is no \"prompt\" or \"instruction\" text")
        }
        let answer = object["response"] ?? object["output"]
        guard let response = answer as? String ?? (answer as? [String])?.first else {
            throw bad("there is no \"response\" or \"output\" text")
        }
        guard !response.isEmpty else { throw bad("the response is empty") }
        return Example(
            split: object["split"] as? String ?? "train",
            prompt: prompt,
            input: object["input"] as? String ?? "",
            response: response
        )
    }
}
