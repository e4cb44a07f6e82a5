import Cache
import Foundation
import TestSupport
import Testing

@Suite("The cache's tools", .serialized)
struct CacheToolsTests {
    /// A cache of a tiny teacher in `folder`.
    private func extract(_ name: String, in folder: URL, _ settings: String...) throws {
        let teacher = folder.appendingPathComponent("teacher")
        if !FileManager.default.fileExists(atPath: teacher.path) {
            _ = try TinyTeacher.make(in: folder)
            _ = try TinyTeacher.dataset(in: folder, count: 12)
        }
        let all =
            [
                "teacher=teacher", "data=data.jsonl", "output=\(name)", "max_length=96",
                "max_prompt_length=48",
            ] + settings
        let result = try RetortProcess.run(
            ["extract"] + all.flatMap { ["--set", $0] },
            in: folder
        )
        #expect(result.code == 0, "\(result.errors)")
    }

    private func json(_ text: String) throws -> [String: Any] {
        try #require(
            JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
            "\(text)"
        )
    }

    @Test("inspect shows lengths and a decoded example, in words and as JSON")
    func inspect() throws {
        try withFolder { folder in
            try extract("c", in: folder, "top_k=6")
            let words = try RetortProcess.run(["cache", "inspect", "c"], in: folder)
            #expect(words.code == 0, "\(words.errors)")
            for part in [
                "teacher   ", "tokens per example: median", "rows per example", "##",
                "example   0 in shard 0", "prompt    What is the capital", "likely next", "%",
            ] {
                #expect(words.output.contains(part), "\(part)")
            }
            let number = try json(
                try RetortProcess.run(
                    ["cache", "inspect", "c", "--example", "7", "--top", "3", "--json"],
                    in: folder
                ).output
            )
            #expect(number["records"] as? Int == 12 && number["arrays"] != nil)
            #expect((number["lengths"] as? [String: Any])?["tokens"] != nil)
            let example = try #require(number["example"] as? [String: Any])
            #expect(example["number"] as? Int == 7)
            let positions = try #require(example["positions"] as? [[String: Any]])
            let top = try #require(positions.first?["top"] as? [[String: Any]])
            let shares = top.compactMap { $0["probability"] as? Double }
            #expect(shares.count == 3 && shares == shares.sorted(by: >) && shares[0] <= 1)
            #expect(top.allSatisfy { $0["text"] is String })
            let id = try #require(example["id"] as? String)
            let same = try json(
                try RetortProcess.run(
                    ["cache", "inspect", "c", "--example", id, "--top", "3", "--json"],
                    in: folder
                ).output
            )
            #expect((same["example"] as? NSDictionary) == (example as NSDictionary))
            for (wanted, code) in [
                ("12", Int32(66)), ("x", 64), (id.replacing(id.prefix(8), with: "00000000"), 66),
            ] {
                let result = try RetortProcess.run(
                    ["cache", "inspect", "c", "--example", wanted, "--json"],
                    in: folder
                )
                #expect(result.code == code && result.output.isEmpty, "\(result.errors)")
            }
        }
    }

    @Test("without a top-k inspect says how to get one; a damaged shard leaves the summary")
    func withoutTopK() throws {
        try withFolder { folder in
            try extract("c", in: folder, "top_k=0")
            let result = try RetortProcess.run(["cache", "inspect", "c"], in: folder)
            #expect(result.code == 0 && result.output.contains("extract.top_k"), "\(result)")
            let shard = folder.appendingPathComponent("c/shards/00000.h5")
            var bytes = try Data(contentsOf: shard)
            // The superblock: HDF5's own structure, without which nothing of the shard can be looked at.
            bytes[20] ^= 1
            try bytes.write(to: shard)
            let damaged = try RetortProcess.run(["cache", "inspect", "c"], in: folder)
            #expect(damaged.code == 65 && damaged.output.contains("teacher   "))
            #expect(damaged.errors.contains("00000.h5"))
            let manifest = try RetortProcess.run(
                ["cache", "inspect", "c", "--manifest-only", "--json"],
                in: folder
            )
            #expect(manifest.code == 0)
            #expect(try json(manifest.output)["lengths"] == nil)
        }
    }

    @Test("export writes chosen examples, goes on, and refuses what is in the way")
    func export() throws {
        try withFolder { folder in
            try extract("c", in: folder, "top_k=3")
            let command = ["cache", "export", "c", "out", "--format", "safetensors"]
            let first = try RetortProcess.run(
                command + ["--split", "held_out", "--with-teacher", "--json"],
                in: folder
            )
            #expect(first.code == 0, "\(first.errors)")
            #expect(try json(first.output)["examples"] as? Int == 2)
            let out = folder.appendingPathComponent("out")
            for name in ["index.jsonl", "teacher.safetensors", "tokenizer/tokenizer.json"] {
                #expect(
                    FileManager.default.fileExists(atPath: out.appendingPathComponent(name).path)
                )
            }
            let other = try RetortProcess.run(command, in: folder)
            #expect(other.code == 73 && other.errors.contains("other examples"))
            let ids = try String(
                contentsOf: out.appendingPathComponent("index.jsonl"),
                encoding: .utf8
            )
            .split(separator: "\n").map { try json(String($0))["id"] as? String ?? "" }
            try Data((ids[1] + "\n\n").utf8).write(to: folder.appendingPathComponent("ids"))
            let one = try RetortProcess.run(
                ["cache", "export", "c", "one", "--format", "npy", "--ids", "ids"],
                in: folder
            )
            #expect(one.code == 0, "\(one.errors)")
            let names = try FileManager.default.contentsOfDirectory(
                atPath: folder.appendingPathComponent("one/examples").path
            )
            #expect(names == [ids[1]])
            try Data("nothing\n".utf8).write(to: folder.appendingPathComponent("bad"))
            for (arguments, code, words) in [
                (["c", "x", "--format", "npy", "--ids", "bad"], Int32(65), "bad:1"),
                (["c", "x", "--format", "npy", "--ids", "gone"], 66, "gone"),
                (["c", "x", "--format", "npy", "--split", "no"], 66, "held_out, train"),
                (["c", "x", "--format", "hdf"], 64, "format"),
                (["c", "c/x", "--format", "npy"], 64, "inside the cache"),
                (["c", "x", "--format", "npy", "--limit", "0"], 64, "--limit"),
                (["d", "x", "--format", "npy"], 66, "no cache"),
            ] {
                let result = try RetortProcess.run(["cache", "export"] + arguments, in: folder)
                #expect(result.code == code && result.errors.contains(words), "\(result)")
            }
            #expect(
                !FileManager.default.fileExists(atPath: folder.appendingPathComponent("x").path)
            )
        }
    }

    @Test("diff exits 0 for equal caches and 1 for others, and says in what they differ")
    func diff() throws {
        try withFolder { folder in
            try extract("a", in: folder, "top_k=3")
            try extract("b", in: folder, "top_k=3")
            try extract("d", in: folder, "top_k=4")
            let equal = try RetortProcess.run(["cache", "diff", "a", "b"], in: folder)
            #expect(equal.code == 0 && equal.output.contains("are equal"), "\(equal)")
            let other = try RetortProcess.run(["cache", "diff", "a", "d", "--json"], in: folder)
            #expect(other.code == 1 && !other.errors.contains("error"))
            let result = try json(other.output)
            #expect(result["areEqual"] as? Bool == false)
            #expect((result["settings"] as? [String])?.contains("topK: 3 here, 4 there") == true)
            let missing = try RetortProcess.run(["cache", "diff", "a", "x"], in: folder)
            #expect(missing.code == 66)
            let damaged = folder.appendingPathComponent("b/shards/00000.h5")
            try Data("x".utf8).write(to: damaged)
            #expect(try RetortProcess.run(["cache", "diff", "a", "b"], in: folder).code == 65)
        }
    }

    @Test("card prints, writes a file, or into the cache, which is whole afterwards")
    func card() throws {
        try withFolder { folder in
            try extract("c", in: folder)
            let words = ["--license", "CC-BY-4.0", "--language", "en", "--name", "T"]
            let printed = try RetortProcess.run(["cache", "card", "c"] + words, in: folder)
            #expect(printed.code == 0 && printed.output.hasPrefix("---\nlicense: cc-by-4.0\n"))
            let file = ["cache", "card", "c", "--output", "card.md"] + words
            #expect(try RetortProcess.run(file, in: folder).code == 0)
            let url = folder.appendingPathComponent("card.md")
            #expect(try Data(contentsOf: url) == Data(printed.output.utf8))
            #expect(try RetortProcess.run(file, in: folder).code == 73)
            #expect(try RetortProcess.run(file + ["--replace"], in: folder).code == 0)
            let written = try RetortProcess.run(
                ["cache", "card", "c", "--write"] + words,
                in: folder
            )
            #expect(written.code == 0, "\(written.errors)")
            let readme = folder.appendingPathComponent("c/README.md")
            #expect(try Data(contentsOf: readme) == Data(printed.output.utf8))
            #expect(try RetortProcess.run(["cache", "verify", "c"], in: folder).code == 0)
            for arguments in [
                ["--license", " "], ["--language", "English"], ["--write", "--output", "x"],
                ["--output", "c/README.md", "--replace"],
            ] {
                let result = try RetortProcess.run(["cache", "card", "c"] + arguments, in: folder)
                #expect(result.code == 64, "\(arguments): \(result)")
            }
            #expect(try RetortProcess.run(["cache", "card", "x"], in: folder).code == 66)
        }
    }
}
