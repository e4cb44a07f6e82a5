import Cache
import Foundation
import Models
import Tensors
import TestSupport
import Testing

@testable import Extract

@Suite("Memory of an extraction")
struct MemoryPlanTests {
    @Test(
        "sizes as people write them",
        arguments: [
            ("512MiB", 512 << 20), ("8GiB", 8 << 30), ("8GB", 8_000_000_000), ("8 gib", 8 << 30),
            ("1.5GiB", 3 << 29), ("64K", 64 << 10), ("1000000", 1_000_000), ("2kB", 2000),
            ("7b", 7), ("1TiB", 1 << 40),
        ]
    )
    func sizes(text: String, bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test(
        "what is no size is refused",
        arguments: [
            "", "GiB", "8XB", "-1GiB", "0", "0.1", "1e3MiB", "8GiB!", "nan", "inf", "9999999999TiB",
            "1.2.3GiB", "0x10MiB", "٣GiB",
        ]
    )
    func noSizes(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test("settings take a text or a number, and name what is neither")
    func decoding() throws {
        func decode(_ json: String) throws -> ExtractSettings {
            let head = "{\"teacher\": \"t\", \"data\": \"d\", \"output\": \"o\", "
            return try JSONDecoder().decode(ExtractSettings.self, from: Data((head + json).utf8))
        }
        #expect(try decode("\"memory\": \"2GiB\"}").memory?.bytes == 2 << 30)
        #expect(try decode("\"memory\": 12345678}").memory?.bytes == 12_345_678)
        #expect(try decode("\"scratch\": \"/tmp\"}").scratch == "/tmp")
        let error = #expect(throws: DecodingError.self) { try decode("\"memory\": \"much\"}") }
        // Foundation puts a backslash before the quotes, or does not.
        let text = String(describing: error).replacingOccurrences(of: "\\", with: "")
        #expect(text.contains("\"much\" is no size"))
        #expect(throws: DecodingError.self) { try decode("\"memory\": -5}") }
    }

    private func sizes(mostStreams: Int = 1) -> MemoryPlan.Sizes {
        MemoryPlan.Sizes(
            teacher: TeacherSizes(
                layer: 3_000_000,
                layerMatrices: 2_999_000,
                largestTensor: 1_000_000,
                positions: 0,
                groupFloatsPerToken: 5_000
            ),
            width: 512,
            vocabulary: 32_000,
            isBF16: false,
            groupTokens: 2_048,
            blockTokens: 100_000,
            mostStreams: mostStreams,
            rowBytes: 10_000,
            shard: 64 << 20
        )
    }

    @Test(
        "more memory first lets more groups go through a layer at a time",
        .enabled(if: Threads.count > 1)
    )
    func streams() {
        let one = MemoryPlan(sizes(mostStreams: 2), budget: 1, resident: 50 << 20)
        #expect(one.streams == 1 && one.peak == one.least)
        let two = MemoryPlan(
            sizes(mostStreams: 2),
            budget: one.least + one.group,
            resident: 50 << 20
        )
        #expect(two.streams == 2 && two.peak <= two.budget)
    }

    @Test("more memory first keeps the head, then the activations, and never plans beyond it")
    func policy() throws {
        let least = MemoryPlan(sizes(), budget: 1, resident: 50 << 20).least
        let head = 32_000 * 512 * 4
        let states = 100_000 * 512 * 4
        for (extra, keepsHead, inMemory) in [
            (0, false, false), (head - 1, false, false), (head, true, false),
            (head + states - 1, true, false), (head + states, true, true),
        ] {
            let plan = MemoryPlan(sizes(), budget: least + extra, resident: 50 << 20)
            #expect(plan.keepsHead == keepsHead && plan.usesScratchFile == !inMemory)
            #expect(plan.peak <= plan.budget)
            try plan.check()
        }
    }

    @Test("too small a budget is refused with the least that works, which then works")
    func tooSmall() throws {
        let least = MemoryPlan(sizes(), budget: 1, resident: 50 << 20).least
        let plan = MemoryPlan(sizes(), budget: least - 1, resident: 50 << 20)
        let error = try #require(throws: ExtractError.self) { try plan.check() }
        #expect(error.kind == .badSetting && error.place == "extract.memory")
        let words = error.message.components(separatedBy: "at least ")
        let number = try #require(Int(words.last?.prefix { $0.isNumber } ?? ""))
        #expect(number << 20 >= least && number << 20 <= least + (8 << 20))
        #expect(error.remedy.contains("--memory \(number)MiB"))
    }

    @Test(
        "hidden states and logits are the same bits whatever stays in memory",
        arguments: [ComputeType.f32, .bf16]
    )
    func sameBits(compute: ComputeType) throws {
        try withFolder { folder in
            let extraction = try extraction(in: folder, count: 40, compute: compute)
            let groups = ExtractionPlan.groups(of: extraction.examples.indices, extraction.examples)
            try #require(groups.count > 1)
            var results: [[Float]] = []
            for (budget, blocks) in [
                (1 << 40, [groups]), (0, [groups]), (0, groups.map { [$0] }),
                (1 << 40, groups.map { [$0] }),
            ] {
                let sizes = try extraction.memorySizes()
                let plan = MemoryPlan(sizes, budget: budget, resident: 0)
                #expect(plan.keepsHead == (budget > 0) && plan.usesScratchFile == (budget == 0))
                let teacher = try LayerwiseTeacher(
                    extraction.checkpoint,
                    compute: compute,
                    memory: plan,
                    scratch: folder.path,
                    signals: CacheSignals(hiddenLayers: [0, 1])
                )
                var values: [Float] = []
                for block in blocks {
                    try teacher.run(extraction.examples, groups: block) { _, _, _ in
                    } finish: { _, states in
                        values += states.final.values
                        for layer in [0, 1] { values += states.layers[layer]?.values ?? [] }
                        try teacher.head.forEachLogits(of: states.final) { values += $1.values }
                    }
                }
                results.append(values)
            }
            #expect(results[0].count > 100_000)
            #expect(results.allSatisfy { $0 == results[0] })
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(!left.contains { $0.contains("scratch") })
        }
    }

    @Test("caches are the same files whatever the block")
    func sameFiles() throws {
        try withFolder { folder in
            var found: Set<[String]> = []
            for block in [nil, 1, 700, 5_000] {
                let output = folder.appendingPathComponent("cache-\(block ?? 0)")
                var settings = try settings(in: folder, count: 60)
                settings.blockTokens = block
                settings.output = output.path
                try Extraction(settings).run()
                let files = try CacheReader(directory: output).manifest.files
                found.insert(files.map { "\($0.path) \($0.sha256)" }.sorted())
            }
            #expect(found.count == 1)
        }
    }

    @Test("NaN and infinity stop with the example's id and the layer")
    func notFinite() throws {
        try withFolder { folder in
            let settings = try settings(in: folder, count: 5)
            let teacher = URL(fileURLWithPath: settings.teacher)
            let model = try Checkpoint(teacher).model()
            let weight = try #require(
                model.parameters.first { $0.name == "model.layers.1.mlp.up_proj.weight" }
            )
            weight.value[3, 4] = .infinity
            try exportHuggingFace(model, to: teacher)
            let extraction = try Extraction(settings)
            let error = try #require(throws: ExtractError.self) { try extraction.run() }
            #expect(error.kind == .badData)
            #expect(error.message.contains("example \(extraction.examples[0].example.id)"))
            #expect(error.message.contains("layer 1"))
            #expect(error.remedy.contains("Check the weights"))
        }
    }

    @Test("a scratch file that the disk has no room for says so, and where to put it")
    func noRoom() throws {
        try withFolder { folder in
            let error = try #require(throws: CacheError.self) {
                try ScratchFile(directory: folder.path, size: 1 << 55)
            }
            #expect(error.kind == .diskFull && error.path == folder.path)
            #expect(error.message.contains("\(1 << 55) bytes are needed"))
            #expect(error.remedy.contains("extract.scratch"))
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left.isEmpty)
            let gone = try #require(throws: CacheError.self) {
                try ScratchFile(directory: folder.path + "/nowhere", size: 1)
            }
            #expect(gone.kind == .missing)
        }
    }

    @Test("the trial foretells the bytes of each part, and leaves nothing behind")
    func trial() throws {
        try withFolder { folder in
            let extraction = try extraction(in: folder, count: 200, compute: .f32)
            let before = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            let forecast = try extraction.trialForecast(limit: 0.2)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == before)
            let trial = try #require(forecast.trial)
            #expect(trial.seconds > 0 && trial.layers >= 1 && trial.tokens > 0)
            try extraction.run()
            let cache = URL(fileURLWithPath: extraction.settings.output)
            let manifest = try CacheReader(directory: cache).manifest
            var raw = Extraction.PartBytes()
            var stored = Extraction.PartBytes()
            for (name, array) in manifest.shards.flatMap(\.file.arrays) {
                let part: WritableKeyPath<Extraction.PartBytes, Int> =
                    name.hasPrefix("hidden")
                    ? \.hidden
                    : name.hasPrefix("logits") ? \.logits : \.text
                raw[keyPath: part] += array.raw
                stored[keyPath: part] += array.stored
            }
            raw.head = try #require(manifest.teacher.arrays["head"]).raw
            stored.head = try #require(manifest.teacher.arrays["head"]).stored
            #expect(forecast.bytes.hidden == raw.hidden && forecast.bytes.logits == raw.logits)
            #expect(forecast.bytes.head == raw.head)
            #expect(abs(forecast.bytes.text - raw.text) < raw.text / 50)
            for part in [
                \Extraction.PartBytes.hidden, \Extraction.PartBytes.logits,
                \Extraction.PartBytes.head,
            ] {
                let share = Double(trial.bytes[keyPath: part]) / Double(stored[keyPath: part])
                #expect(share > 0.85 && share < 1.15, "\(share) of what was then written")
            }
        }
    }

    private func settings(in folder: URL, count: Int) throws -> ExtractSettings {
        var settings = ExtractSettings(
            teacher: try TinyTeacher.make(in: folder).path,
            data: try TinyTeacher.dataset(in: folder, count: count).path,
            output: folder.appendingPathComponent("cache").path
        )
        settings.maxLength = 96
        settings.maxPromptLength = 48
        settings.topK = 5
        return settings
    }

    private func extraction(in folder: URL, count: Int, compute: ComputeType) throws -> Extraction {
        var settings = try settings(in: folder, count: count)
        settings.compute = compute
        return try Extraction(settings)
    }
}
