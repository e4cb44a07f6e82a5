import Foundation
import Testing

@testable import Cache

@Suite("Hostile signals")
struct SignalDamageTests {
    private static let signals = CacheSignals(
        hiddenType: .int8,
        hiddenLayers: [1],
        samples: 9,
        fullLogits: .f16
    )

    private func rewriteManifest(_ directory: URL, _ change: (inout CacheManifest) -> Void) throws {
        let url = directory.appendingPathComponent(CacheManifest.fileName)
        var manifest = try JSONDecoder().decode(CacheManifest.self, from: Data(contentsOf: url))
        change(&manifest)
        try Data(try manifest.encoded()).write(to: url)
    }

    /// A cache of which an array of shard 0 was replaced, hashes and all, as a stranger could.
    private func replace(
        _ name: String,
        in directory: URL,
        _ make: (StoredArray, [UInt8]) -> StoredArray
    ) throws {
        let reader = try CacheReader(directory: directory)
        let entry = reader.manifest.shards[0].file
        let file = try VerifiedFile(directory.appendingPathComponent(entry.path), entry: entry)
        let listing = try file.list(limit: 1 << 30)
        var arrays: [StoredArray] = []
        for array in ShardFormat.arrays(reader.manifest.description) {
            let layout = try #require(listing.arrays[array.name])
            let bytes = try ArrayReader(
                layout: layout,
                descriptor: file.descriptor,
                path: file.path
            ).bytes(rows: 0..<layout.rows)
            var builder = ArrayBuilder(
                array.name,
                array.type,
                columns: array.columns,
                candidates: [.original(array.type)]
            )
            builder.append(bytes)
            let same = builder.finish()
            arrays.append(array.name == name ? make(same, bytes) : same)
        }
        let changed = try HDF5FileWriting.write(
            arrays,
            header: listing.header,
            directory: directory,
            path: entry.path
        )
        try rewriteManifest(directory) { $0.shards[0].file = changed }
    }

    private func array<T: BitwiseCopyable>(_ like: StoredArray, _ type: ElementType, _ values: [T])
        -> StoredArray
    {
        var builder = ArrayBuilder(
            like.name,
            type,
            columns: like.columns,
            candidates: [.original(type)]
        )
        builder.append(values)
        return builder.finish()
    }

    private func integers<T: FixedWidthInteger & BitwiseCopyable>(_ bytes: [UInt8]) -> [T] {
        bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: MemoryLayout<T>.size).map {
                raw.loadUnaligned(fromByteOffset: $0, as: T.self)
            }
        }
    }

    private func expectRefusal(
        _ words: String,
        replacing name: String,
        _ make: (StoredArray, [UInt8]) -> StoredArray
    ) throws {
        let scratch = try Scratch()
        let sample = SignalSample(Self.signals)
        try sample.write(to: scratch.url)
        // Rewriting alone changes nothing that a reader sees.
        try replace("", in: scratch.url) { array, _ in array }
        let untouched = try CacheReader(directory: scratch.url).shard(0)
        for i in 0..<3 {
            #expect(
                try untouched.record(i, extra: sample.all).samples
                    == sample.record(i).samples
            )
        }
        try replace(name, in: scratch.url, make)
        let error = try #require(throws: CacheError.self) {
            let shard = try CacheReader(directory: scratch.url).shard(0)
            for i in 0..<shard.recordCount { _ = try shard.record(i, extra: sample.all) }
        }
        #expect(error.kind == .corrupt && error.path.hasSuffix("shards/00000.h5"))
        #expect(error.message.contains(words), "\(error.message)")
    }

    @Test("counts and tokens that no draw can give are refused")
    func samples() throws {
        try expectRefusal("sampled tokens, not 9", replacing: ShardFormat.sampleCounts) {
            var counts: [UInt16] = integers($1)
            counts[0] = .max
            return array($0, .u16, counts)
        }
        try expectRefusal("of no use", replacing: ShardFormat.sampleCounts) {
            var counts: [UInt16] = integers($1)
            counts[1] = 0
            return array($0, .u16, counts)
        }
        try expectRefusal("out of order", replacing: ShardFormat.sampleIDs) {
            var ids: [UInt32] = integers($1)
            ids[0] = .max
            return array($0, .u32, ids)
        }
        try expectRefusal("has not", replacing: ShardFormat.sampleCounts) {
            array($0, .u16, [UInt16](integers($1).dropLast()))
        }
    }

    @Test("offsets that lead elsewhere are refused", arguments: [UInt64.max, 1 << 40, 5, 1])
    func offsets(value: UInt64) throws {
        for place in [0, 1] {
            try expectRefusal("record 0", replacing: ShardFormat.sampleOffsets) {
                var offsets: [UInt64] = integers($1)
                offsets[place] = offsets[place] == value ? value + 1 : value
                return array($0, .u64, offsets)
            }
        }
    }

    @Test(
        "scales that are not numbers, negative or too large are refused",
        arguments: [Float.nan, .infinity, -1, 3e38]
    )
    func scales(value: Float) throws {
        for name in ["hidden/final_channel_scale", "hidden/layer_1_channel_scale"] {
            try expectRefusal("hidden/", replacing: name) {
                var scales = integers($1).map { (bits: UInt32) in Float(bitPattern: bits) }
                for i in scales.indices { scales[i] = value }
                return array($0, .f32, scales)
            }
        }
        try expectRefusal("hidden/", replacing: "hidden/final_row_scale") {
            var scales: [UInt16] = integers($1)
            for i in scales.indices { scales[i] = UInt16(value.bitPattern >> 16) }
            return array($0, .bf16, scales)
        }
    }

    @Test("log-probabilities that are not finite are refused")
    func full() throws {
        try expectRefusal("is not finite", replacing: ShardFormat.fullLogProbs) {
            var values: [UInt16] = integers($1)
            values[7] = 0xFC00
            return array($0, .f16, values)
        }
    }

    @Test("another type, another width or other numbers of rows are refused")
    func shapes() throws {
        try expectRefusal("of another shape", replacing: ShardFormat.fullLogProbs) {
            array($0, .bf16, integers($1) as [UInt16])
        }
        try expectRefusal("of another shape", replacing: ShardFormat.hidden) {
            array($0, .u8, $1)
        }
        try expectRefusal("has not", replacing: "hidden/final_channel_scale") {
            array($0, .f32, integers($1 + $1) as [UInt32])
        }
        try expectRefusal("has not", replacing: "hidden/final_row_scale") {
            array($0, .bf16, [UInt16](integers($1).dropLast()))
        }
    }

    private static let wildSignals: [@Sendable (inout CacheSignals) -> Void] = [
        { $0.samples = -1 }, { $0.samples = 65_536 }, { $0.hiddenLayers = [1, 1] },
        { $0.hiddenLayers = [-1] }, { $0.hiddenLayers = [.max] },
        { $0.hiddenLayers = Array(0..<17) },
    ]

    @Test("signals that no cache can have are refused", arguments: wildSignals.indices)
    func numbers(index: Int) throws {
        let scratch = try Scratch()
        try SignalSample(Self.signals).write(to: scratch.url)
        try rewriteManifest(scratch.url) {
            var signals = $0.description.signals
            Self.wildSignals[index](&signals)
            let old = $0.description
            $0.description = CacheDescription(
                teacher: old.teacher,
                tokenizer: old.tokenizer,
                template: old.template,
                dataset: old.dataset,
                maxPromptLength: old.maxPromptLength,
                maxLength: old.maxLength,
                topK: old.topK,
                shardPlan: old.shardPlan,
                signals: signals
            )
        }
        let error = try #require(throws: CacheError.self) {
            try CacheReader(directory: scratch.url)
        }
        #expect(error.kind == .corrupt && error.path.hasSuffix("manifest.json"))
    }

    @Test("a cap that is no number, an older version with signals and a newer one are refused")
    func versions() throws {
        let scratch = try Scratch()
        try SignalSample(Self.signals).write(to: scratch.url)
        func expectRefusal(_ kind: CacheError.Kind, _ change: (inout CacheManifest) -> Void) throws
        {
            let before = try CacheReader(directory: scratch.url).manifest
            try rewriteManifest(scratch.url, change)
            let error = try #require(throws: CacheError.self) {
                try CacheReader(directory: scratch.url)
            }
            #expect(error.kind == kind)
            try rewriteManifest(scratch.url) { $0 = before }
        }
        try expectRefusal(.corrupt) { $0.description.teacher.logitSoftCap = -1 }
        try expectRefusal(.corrupt) { $0.description.formatVersion = 1 }
        try expectRefusal(.unsupported) { $0.description.formatVersion = 4 }
    }

    @Test("every flipped bit of a shard with all signals is found")
    func flippedBits() throws {
        let scratch = try Scratch()
        try SignalSample(Self.signals).write(to: scratch.url)
        let url = scratch.url.appendingPathComponent("shards/00001.h5")
        let whole = try Data(contentsOf: url)
        var generator = OrderGenerator(seed: 21, epoch: 0, stream: 0)
        for _ in 0..<150 {
            var bytes = whole
            let position = Int(generator.next() % UInt64(bytes.count))
            bytes[position] ^= 1 << (generator.next() % 8)
            try bytes.write(to: url)
            #expect(try !CacheVerifier().verify(scratch.url).isWhole, "byte \(position)")
        }
    }
}
