import Cache
import Foundation
import TestSupport
import Testing

@Suite("Commands that make caches of caches", .serialized)
struct CacheMakingTests {
    private func retort(_ arguments: String..., in folder: URL) throws -> RetortProcess.Result {
        try RetortProcess.run(arguments, in: folder)
    }

    /// A tiny teacher's cache of 12 examples.
    private func extract(_ name: String, in folder: URL, _ settings: String...) throws {
        if !FileManager.default.fileExists(atPath: folder.appending(path: "teacher").path) {
            _ = try TinyTeacher.make(in: folder)
            _ = try TinyTeacher.dataset(in: folder, count: 12)
        }
        let all =
            [
                "teacher=teacher", "data=data.jsonl", "output=\(name)", "max_length=96",
                "max_prompt_length=48",
            ] + settings
        let result = try RetortProcess.run(["extract"] + all.flatMap { ["--set", $0] }, in: folder)
        #expect(result.code == 0, "\(result.errors)")
    }

    private func records(_ folder: URL, _ name: String, _ extra: ExtraSignals = .init()) throws
        -> [String: CacheRecord]
    {
        let shard = try CacheReader(directory: folder.appending(path: name)).shard(0)
        return try (0..<shard.recordCount).reduce(into: [:]) {
            $0[shard.ids[$1]] = try shard.record($1, extra: extra)
        }
    }

    @Test("subset, then the rest, then both merged, are the whole; wrong input is named")
    func subset() throws {
        try withFolder { folder in
            try extract("c", in: folder, "top_k=4")
            let first = try retort(
                "cache",
                "subset",
                "c",
                "a",
                "--first",
                "5",
                "--json",
                in: folder
            )
            #expect(first.code == 0 && first.output.contains("\"examples\" : 5"), "\(first)")
            let rest = try retort("cache", "subset", "c", "b", "--without", "a", in: folder)
            #expect(rest.output.contains("b: 7 examples"), "\(rest)")
            #expect(try retort("cache", "merge", "a", "b", "both", in: folder).code == 0)
            let verified = try retort("cache", "verify", "both", in: folder)
            #expect(verified.code == 0 && verified.output.contains("whole"))
            let whole = try records(folder, "c")
            let parts = try records(folder, "a").merging(records(folder, "b")) { mine, _ in mine }
            #expect(parts == whole)
            let trained = try retort("cache", "inspect", "both", "--json", in: folder)
            #expect(trained.code == 0)

            let dry = try retort(
                "cache",
                "subset",
                "c",
                "x",
                "--max-characters",
                "40",
                "--dry-run",
                in: folder
            )
            #expect(dry.code == 0 && dry.output.contains("of 12 examples"), "\(dry)")
            let split = try retort("cache", "subset", "c", "x", "--split", "trian", in: folder)
            #expect(split.code == 64 && split.errors.contains("the cache has"))
            let none = try retort("cache", "subset", "c", "x", "--first", "0", in: folder)
            #expect(none.code == 65 && none.errors.contains("no example is left"))
            let there = try retort("cache", "subset", "c", "a", "--first", "6", in: folder)
            #expect(there.code == 73 && there.errors.contains("other settings"))
            let missing = try retort("cache", "subset", "nowhere", "x", in: folder)
            #expect(missing.code == 66)
            try Data("xyz\n".utf8).write(to: folder.appending(path: "ids.txt"))
            let ids = try retort("cache", "subset", "c", "x", "--ids", "ids.txt", in: folder)
            #expect(ids.code == 65 && ids.errors.contains("line 1"))
            let twice = try retort("cache", "merge", "a", "both", "x", in: folder)
            #expect(twice.code == 65 && twice.errors.contains("--without"), "\(twice.errors)")
        }
    }

    @Test("top-k and draws made of stored states are the extraction's own")
    func recompress() throws {
        try withFolder { folder in
            try extract("exact", in: folder, "logits=exact", "hidden_dtype=f32")
            try extract(
                "rich",
                in: folder,
                "logits=[topk, sampled]",
                "top_k=6",
                "samples=20",
                "sample_seed=3",
                "hidden_dtype=f32"
            )
            let made = try retort(
                "cache",
                "recompress",
                "exact",
                "made",
                "--top-k",
                "6",
                "--samples",
                "20",
                "--sample-seed",
                "3",
                "--codec",
                "deflate",
                in: folder
            )
            #expect(made.code == 0, "\(made.errors)")
            let (a, b) = (
                try records(folder, "made", .init(samples: true)),
                try records(folder, "rich", .init(samples: true))
            )
            #expect(a.count == 12 && Set(a.keys) == Set(b.keys))
            for (id, record) in a {
                let other = try #require(b[id])
                #expect(record.topKIDs == other.topKIDs && record.hidden == other.hidden)
                #expect(
                    zip(record.logPartition, other.logPartition).allSatisfy { abs($0 - $1) < 1e-5 }
                )
                #expect(
                    zip(record.topKLogProbs, other.topKLogProbs).allSatisfy { abs($0 - $1) < 0.01 }
                )
                #expect(record.samples == other.samples)
            }
            let small = try retort(
                "cache",
                "recompress",
                "rich",
                "small",
                "--top-k",
                "0",
                "--samples",
                "0",
                "--hidden-dtype",
                "int8",
                in: folder
            )
            #expect(small.code == 0)
            #expect(try records(folder, "small").values.allSatisfy { $0.topKIDs.isEmpty })
            let layer = try retort(
                "cache",
                "recompress",
                "rich",
                "x",
                "--drop-layer",
                "9",
                in: folder
            )
            #expect(layer.code == 64 && layer.errors.contains("no layer 9"))
            let codec = try retort("cache", "recompress", "rich", "x", "--codec", "zip", in: folder)
            #expect(codec.code == 64)
        }
    }

    @Test("repair drops a damaged shard, extract makes it again; salvage saves the rest")
    func repair() throws {
        try withFolder { folder in
            try extract("c", in: folder, "top_k=4")
            let shard = folder.appending(path: "c/shards/00000.h5")
            let whole = try Data(contentsOf: shard)
            let nothing = try retort("cache", "repair", "c", in: folder)
            #expect(nothing.code == 0 && nothing.output.contains("nothing was done"))
            let entry = try CacheReader(directory: folder.appending(path: "c")).manifest.shards[0]
            var bytes = whole
            let end = try #require(entry.file.dataRanges.last?.end)
            bytes[end - 1] ^= 4
            try bytes.write(to: shard)
            let saved = try retort("cache", "repair", "c", "--salvage", "rest", in: folder)
            #expect(saved.errors.contains("can be read"), "\(saved)")
            let repaired = try retort("cache", "repair", "c", in: folder)
            #expect(repaired.code == 66, "\(repaired)")
            #expect(repaired.output.contains("shards/00000.h5: to be made or brought again"))
            let unfinished = try retort("cache", "inspect", "c", in: folder)
            #expect(unfinished.code == 66)
            try extract("c", in: folder, "top_k=4")
            #expect(try Data(contentsOf: shard) == whole)
            #expect(try retort("cache", "verify", "c", in: folder).code == 0)
        }
    }
}
