import Foundation
import TestSupport
import Testing

@Suite("The command tokenize")
struct TokenizeTests {
    private struct Tokens: Decodable {
        let ids: [UInt32]
        let pieces: [String]
    }

    private let texts = ["What is the capital?", "", "a<|im_end|> b \u{0}\n\"é\" 🙂", "  rain  "]

    private func lines(_ values: [some Encodable]) throws -> String {
        try values.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) + "\n" }
            .joined()
    }

    @Test("texts become ids and pieces, and ids the texts again")
    func roundTrip() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let file = folder.appendingPathComponent("texts.jsonl")
            // An empty line holds no text; the last line needs no end.
            try Data(("\n" + lines(texts)).utf8.dropLast()).write(to: file)
            let result = try RetortProcess.run(
                ["tokenize", teacher.path, file.path, "--json"],
                in: folder
            )
            #expect(result.code == 0, "\(result.errors)")
            let found = try result.output.split(separator: "\n").map {
                try JSONDecoder().decode(Tokens.self, from: Data($0.utf8))
            }
            #expect(found.count == texts.count)
            #expect(found.allSatisfy { $0.ids.count == $0.pieces.count })
            #expect(found[1].ids.isEmpty)
            #expect(found[2].pieces.contains("<|im_end|>"))
            #expect(found[0].pieces.joined().replacing("Ġ", with: " ") == texts[0])

            let ids = folder.appendingPathComponent("ids.jsonl")
            try Data(result.output.utf8).write(to: ids)
            let back = try RetortProcess.run(
                ["tokenize", teacher.path, ids.path, "--decode", "--special"],
                in: folder
            )
            let decoded = try back.output.split(separator: "\n").map {
                try JSONDecoder().decode(String.self, from: Data($0.utf8))
            }
            #expect(decoded == texts)
            // Plain lists do as well; without --special the marks are left out.
            try Data(lines(found.map(\.ids)).utf8).write(to: ids)
            let bare = try RetortProcess.run(
                ["tokenize", teacher.path, ids.path, "--decode"],
                in: folder
            )
            #expect(!bare.output.contains("im_end"))
            #expect(bare.output.hasPrefix("\"What is the capital?\"\n\"\"\n"))
        }
    }

    @Test("without --json each token has a line for people")
    func people() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let file = folder.appendingPathComponent("texts.jsonl")
            try Data("\"rain\"\n\"sea\"\n".utf8).write(to: file)
            let result = try RetortProcess.run(["tokenize", teacher.path, file.path], in: folder)
            let parts = result.output.components(separatedBy: "\n\n")
            #expect(parts.count == 3 && parts[2].isEmpty)
            #expect(
                parts[0].split(separator: "\n").allSatisfy {
                    let columns = $0.split(separator: "\t")
                    return columns.count == 2 && Int(columns[0]) != nil
                        && columns[1].hasPrefix("\"")
                }
            )
        }
    }

    @Test("a bad line is named, with what came before it written")
    func badLine() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let file = folder.appendingPathComponent("texts.jsonl")
            for (text, arguments, words) in [
                ("\"a\"\n\n{\"b\": 1}\n", ["--json"], "texts.jsonl:3: not a JSON string"),
                ("\"a\"\n\"b\n", ["--json"], "texts.jsonl:2: not a JSON string"),
                ("[3]\n[1, 999999]\n", ["--decode"], "texts.jsonl:2: id 999999 at position 1"),
                ("[3]\n[-1]\n", ["--decode"], "texts.jsonl:2: not a JSON list"),
                ("[3]\n\"a\"\n", ["--decode"], "texts.jsonl:2: not a JSON list"),
            ] {
                try Data(text.utf8).write(to: file)
                let result = try RetortProcess.run(
                    ["tokenize", teacher.path, file.path] + arguments,
                    in: folder
                )
                #expect(result.code == 65)
                #expect(result.errors.contains(words), "\(result.errors)")
                #expect(result.output.split(separator: "\n").count == 1, "\(result.output)")
            }
        }
    }

    @Test("many lines stream through, and a reader that goes away ends it quietly")
    func streams() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let file = folder.appendingPathComponent("texts.jsonl")
            let line = try lines([String(repeating: "the sea is salty ", count: 20)])
            let text = String(repeating: line, count: 6_000)
            try Data(text.utf8).write(to: file)
            let whole = try RetortProcess.run(
                ["tokenize", teacher.path, file.path, "--json"],
                in: folder
            )
            #expect(whole.code == 0)
            let found = whole.output.split(separator: "\n")
            #expect(found.count == 6_000 && Set(found).count == 1)

            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/bash")
            process.arguments = [
                "-c",
                #"set -o pipefail; "$0" tokenize "$1" - --json < "$2" 2>err | head -n 2 >out; "#
                    + #"echo "${PIPESTATUS[0]}" >code"#,
                RetortProcess.executable.path, teacher.path, file.path,
            ]
            process.currentDirectoryURL = folder
            try process.run()
            process.waitUntilExit()
            func read(_ name: String) throws -> String {
                try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            }
            #expect(try read("err").isEmpty)
            #expect(try read("out").split(separator: "\n").count == 2)
            // 128 + SIGPIPE.
            #expect(try read("code") == "141\n")
        }
    }
}
