import Foundation
import Testing

@testable import Scores

@Suite("Files of texts to score")
struct ScoreFileTests {
    private func reading<Result>(
        _ text: String,
        _ body: (String) throws -> Result
    ) throws -> Result {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "scores-\(UUID().uuidString).jsonl"
        )
        defer { try? FileManager.default.removeItem(at: url) }
        try Data(text.utf8).write(to: url)
        return try body(url.path)
    }

    @Test("answers and references are read in all the shapes that the field writes")
    func shapes() throws {
        let answers = try reading("{\"prediction\": \"a\"}\r\n\n{\"response\": \"b\", \"x\": 1}") {
            try ScoreFile.predictions(at: $0)
        }
        #expect(answers == ["a", "b"])
        let references = try reading(
            """
            {"references": ["a", "b"]}
            {"reference": "c"}
            {"instruction": "i", "input": "", "output": ["d", "e"]}
            {"prompt": "p", "output": "f"}
            {"prompt": "p", "response": ""}
            """
        ) { try ScoreFile.references(at: $0) }
        #expect(references == [["a", "b"], ["c"], ["d", "e"], ["f"], [""]])
    }

    @Test(
        "what is wrong is told with the line",
        arguments: [
            ("{\"prediction\": \"a\"}\n{\"text\": \"b\"}", ":2: there is no \"prediction\""),
            ("{\"prediction\": \"a\"}\n{\"prediction\": ", ":2: this line is not JSON"),
            ("[1]", ":1: this line is no object"), ("{\"prediction\": 3}", ":1: there is no"),
            ("\n \n", "there is nothing in it"),
        ]
    )
    func mistakes(text: String, words: String) throws {
        let error = #expect(throws: ScoreError.self) {
            try reading(text) { try ScoreFile.predictions(at: $0) }
        }
        #expect(error?.description.contains(words) == true && error?.kind == .badData)
        #expect(throws: ScoreError.self) {
            try reading("{\"references\": []}") { try ScoreFile.references(at: $0) }
        }
        #expect(throws: ScoreError.self) {
            try reading("{\"references\": [\"a\", 1]}") { try ScoreFile.references(at: $0) }
        }
    }

    @Test("a file that is not there is missing, not bad")
    func missing() {
        let error = #expect(throws: ScoreError.self) {
            try ScoreFile.predictions(at: "/nowhere/predictions.jsonl")
        }
        #expect(error?.kind == .missing)
    }
}
