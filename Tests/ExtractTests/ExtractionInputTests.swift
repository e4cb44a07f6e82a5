import Cache
import Extract
import Foundation
import Models
import TestSupport
import Testing

@Suite("Extraction of bad input")
struct ExtractionInputTests {
    private func settings(_ folder: URL, data: String) throws -> ExtractSettings {
        let url = folder.appendingPathComponent("bad.jsonl")
        try Data(data.utf8).write(to: url)
        return ExtractSettings(
            teacher: try TinyTeacher.make(in: folder).path,
            data: url.path,
            output: folder.appendingPathComponent("cache").path
        )
    }

    @Test("an empty dataset is refused with its path")
    func empty() throws {
        try withFolder { folder in
            let error = #expect(throws: ExtractError.self) {
                try Extraction(settings(folder, data: "\n  \n"))
            }
            #expect(error?.kind == .badData)
            #expect(error?.description.contains("bad.jsonl") == true)
        }
    }

    @Test(
        "a bad line is named by its number",
        arguments: [
            "{\"prompt\": \"a\", \"response\": \"b\"}\nnot json\n",
            "{\"prompt\": \"a\", \"response\": \"b\"}\n[1, 2]\n",
            "{\"prompt\": \"a\", \"response\": \"b\"}\n{\"prompt\": \"a\"}\n",
            "{\"prompt\": \"a\", \"response\": \"b\"}\n{\"prompt\": 3, \"response\": \"b\"}\n",
            "{\"prompt\": \"a\", \"response\": \"b\"}\n{\"prompt\": \"a\", \"response\": \"\"}\n",
        ]
    )
    func badLine(data: String) throws {
        try withFolder { folder in
            let error = #expect(throws: ExtractError.self) {
                try Extraction(settings(folder, data: data))
            }
            #expect(error?.description.contains("bad.jsonl:2") == true)
        }
    }

    @Test("the same text twice is stored once and counted")
    func duplicates() throws {
        try withFolder { folder in
            let line = "{\"prompt\": \"a\", \"response\": \"b\"}\n"
            var settings = try settings(folder, data: line + line)
            settings.maxLength = 64
            settings.maxPromptLength = 32
            let forecast = try Extraction(settings).forecast()
            #expect(forecast.examples == 1 && forecast.duplicates == 1)
        }
    }

    @Test("a dataset or a teacher that is not there is named")
    func missing() throws {
        try withFolder { folder in
            var settings = try settings(folder, data: "{\"prompt\": \"a\", \"response\": \"b\"}\n")
            settings.maxLength = 64
            settings.maxPromptLength = 32
            settings.teacher = folder.appendingPathComponent("nowhere").path
            let error = #expect(throws: ModelError.self) { try Extraction(settings) }
            #expect(error?.kind == .missing && error?.path.hasSuffix("nowhere") == true)
            settings.data = folder.appendingPathComponent("gone.jsonl").path
            let second = #expect(throws: ExtractError.self) { try Extraction(settings) }
            #expect(second?.kind == .missing)
        }
    }

    @Test("a length beyond the teacher's positions is refused")
    func positions() throws {
        try withFolder { folder in
            let settings = try settings(folder, data: "{\"prompt\": \"a\", \"response\": \"b\"}\n")
            let error = #expect(throws: ExtractError.self) { try Extraction(settings) }
            #expect(error?.kind == .badSetting)
            #expect(error?.description.contains("128 positions") == true)
        }
    }

    @Test(
        "a setting out of range is refused by name",
        arguments: ["max_length", "top_k", "block_tokens", "max_prompt_length"]
    )
    func ranges(name: String) throws {
        var settings = ExtractSettings(teacher: "t", data: "d", output: "o")
        switch name {
        case "max_length": settings.maxLength = 1
        case "top_k": settings.topK = -1
        case "block_tokens": settings.blockTokens = 0
        default: settings.maxPromptLength = 512
        }
        let error = #expect(throws: ExtractError.self) { try settings.validate() }
        #expect(error?.place.hasSuffix(name) == true)
    }
}
