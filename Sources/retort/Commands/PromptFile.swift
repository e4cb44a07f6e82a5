import Foundation

/// Prompts of a JSON Lines file, each with the other keys of its line.
struct PromptFile {
    struct Line {
        let prompt: String
        let input: String?
        let object: [String: Any]
    }

    /// - Throws: `Failure` naming file and line.
    static func read(_ path: String) throws -> [Line] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Failure("\(path): there is no such file", code: Failure.Code.missing)
        }
        var lines: [Line] = []
        for (index, bytes) in data.split(separator: 0x0A, omittingEmptySubsequences: false)
            .enumerated()
        {
            guard !bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) else { continue }
            guard
                let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any],
                let prompt = object["instruction"] as? String ?? object["prompt"] as? String
            else {
                throw Failure(
                    "\(path):\(index + 1): not a JSON object with a \"prompt\" text",
                    code: Failure.Code.badData
                )
            }
            let input = object["input"] as? String
            lines.append(
                Line(prompt: prompt, input: input?.isEmpty == true ? nil : input, object: object)
            )
        }
        guard !lines.isEmpty else {
            throw Failure("\(path): no prompts in it", code: Failure.Code.badData)
        }
        return lines
    }
}

/// Answers as they come, in a file beside the output, so that a stopped run loses none of them.
struct AnswerFile {
    struct Answer: Codable {
        let index: Int
        let text: String
        let isComplete: Bool
        /// Which try this is, from 0.
        let attempt: Int
    }

    private(set) var known: [Int: Answer] = [:]
    private let output: URL
    private let partial: URL

    private struct Key: Codable {
        let key: String
    }

    /// Takes up what an earlier run left.
    ///
    /// - Parameter key: What the answers depend on.
    /// - Throws: `Failure` (73) when the answers that are there depend on something else, (74) when the
    ///   file cannot be written.
    init(_ path: String, key: String) throws {
        output = URL(fileURLWithPath: path)
        partial = URL(fileURLWithPath: path + ".partial")
        var whole = (try? Data(contentsOf: partial)) ?? Data()
        // The last line of a killed run may be half a line: it is made again.
        whole = whole.prefix(through: whole.lastIndex(of: 0x0A) ?? whole.startIndex - 1)
        let lines = whole.split(separator: 0x0A)
        // A key alone holds no answers that could be lost.
        if let first = lines.first, lines.count > 1 {
            guard (try? JSONDecoder().decode(Key.self, from: Data(first)))?.key == key else {
                throw Failure(
                    "\(partial.path): answers of another model, other prompts or other options; remove "
                        + "the file, or choose another output",
                    code: Failure.Code.outputExists
                )
            }
            for line in lines.dropFirst() {
                guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(line)) else {
                    continue
                }
                known[answer.index] = answer
            }
        } else {
            whole = try JSONEncoder().encode(Key(key: key)) + Data([0x0A])
        }
        try whole.write(to: partial, options: .atomic)
    }

    /// The prompts that the given try has to answer: those without an answer that came to its end.
    func missing(of count: Int, attempt: Int) -> [Int] {
        (0..<count).filter { index in
            guard let answer = known[index] else { return attempt == 0 }
            return answer.attempt < attempt && (!answer.isComplete || answer.text.isEmpty)
        }
    }

    mutating func add(_ index: Int, _ text: String, isComplete: Bool, attempt: Int) throws {
        let answer = Answer(index: index, text: text, isComplete: isComplete, attempt: attempt)
        known[index] = answer
        let file = try FileHandle(forWritingTo: partial)
        defer { try? file.close() }
        try file.seekToEnd()
        try file.write(contentsOf: try JSONEncoder().encode(answer) + Data([0x0A]))
    }

    /// Writes the output whole and takes the partial file away.
    ///
    /// - Returns: The number of lines written: those with an answer, cut ones too if wanted.
    func finish(_ lines: [PromptFile.Line], completeOnly: Bool) throws -> Int {
        var text = Data()
        var count = 0
        for (index, line) in lines.enumerated() {
            guard let answer = known[index], !answer.text.isEmpty else { continue }
            if completeOnly, !answer.isComplete { continue }
            var object = line.object
            object["response"] = answer.text
            text += try JSONSerialization.data(
                withJSONObject: object,
                options: [.sortedKeys, .withoutEscapingSlashes]
            )
            text.append(0x0A)
            count += 1
        }
        try text.write(to: output, options: .atomic)
        try? FileManager.default.removeItem(at: partial)
        return count
    }
}
