import Cache
import Models
import Tensors

/// What an extraction will have resident, in bytes, and what it does about a budget.
///
/// Numbers never depend on it: it decides what is kept and what is read again, not what is computed.
public struct MemoryPlan: Codable, Sendable, Equatable {
    /// The most that may be resident.
    public let budget: Int
    /// The program, its libraries and the dataset.
    public let process: Int
    /// The largest layer: as stored, as float32 and as packed for bf16; learned positions.
    public let layer: Int
    /// Groups that go through a layer at a time, each on a thread of its own.
    public let streams: Int
    /// What a layer makes of a group of examples before the next group comes.
    public let group: Int
    /// A chunk of logits, a slice of the head where it does not stay, and the rows of a group as they
    /// go to the shard.
    public let logits: Int
    /// Rows of the teacher's tables on their way to the cache.
    public let tables: Int
    /// The open shard before it is written.
    public let shard: Int
    /// The head, when it stays; else 0.
    public let head: Int
    /// Hidden states of a block between layers, when they stay in memory; else 0.
    public let activations: Int
    /// Bytes of the scratch file that hidden states are in instead; 0 when they are in memory.
    public let scratchFile: Int

    /// Freed memory that is kept for the next group, where the budget has room for it.
    var kept: Int { max(0, min(group * streams, budget - peak)) }
    var keepsHead: Bool { head > 0 }
    var usesScratchFile: Bool { scratchFile > 0 }

    /// The most that is resident at a time.
    ///
    /// The layers, the logits and the tables never are at once.
    public var peak: Int {
        process + shard + max(layer + group * streams, logits, tables) + head + activations
    }
    /// The smallest budget that this teacher, group and shard allow.
    public var least: Int { process + shard + max(layer + group, logits, tables) }

    /// What a plan is made of.
    struct Sizes {
        var teacher: TeacherSizes
        var width: Int
        var vocabulary: Int
        var isBF16: Bool
        /// Tokens of the largest group and of the largest block.
        var groupTokens: Int, blockTokens: Int
        /// The most groups that can go through a layer at a time.
        var mostStreams: Int
        /// Layers that are kept beside the final one.
        var hiddenLayers = 0
        /// Bytes of rows that wait until their int8 scales are known.
        var waitingRows = 0
        /// Bytes of a row between the last layer and the shard.
        var rowBytes: Int
        /// Bytes of the largest shard before compression.
        var shard: Int
    }

    /// A plan for a budget: what is left beyond the least goes to more groups at a time, then to the head,
    /// then to the activations.
    ///
    /// - Parameter resident: What the process has resident now, the dataset included.
    init(_ s: Sizes, budget: Int, resident: Int) {
        self.budget = budget
        // Buffers of the matrix libraries and code that is not yet in memory.
        process = resident + (8 << 20) + Threads.count * (4 << 20)
        layer =
            4 * (s.teacher.layer + s.teacher.largestTensor + s.teacher.positions)
            + (s.isBF16 ? 2 * s.teacher.layerMatrices : 0)
        group =
            s.groupTokens
            * (4 * s.teacher.groupFloatsPerToken + (s.isBF16 ? 2 * s.width : 0)
                + 4 * s.width * s.hiddenLayers)
        let slice = TeacherHead.sliceTokens(width: s.width) * s.width
        logits =
            4 * TeacherHead.chunkRows(vocabulary: s.vocabulary) * s.vocabulary
            + slice * (s.isBF16 ? 10 : 8) + s.groupTokens * s.rowBytes
        // Sixteen chunks, raw and packed; a chunk is a thousandth of a large table.
        // The tokenizer's files are made before, and took up to 170 bytes a token.
        tables = 2 * 16 * max(256 << 10, 4 * s.vocabulary * s.width / 1000) + 200 * s.vocabulary
        // Packed rows, at worst as long as raw ones, and those that wait to be packed.
        shard = s.shard + min(s.shard, 24 << 20) + s.waitingRows
        let wholeHead = s.vocabulary * s.width * (s.isBF16 ? 2 : 4)
        let states = 4 * s.blockTokens * s.width * (1 + s.hiddenLayers)
        let rest = budget - process - shard
        let wanted = max(1, min(Threads.count, s.mostStreams))
        streams = max(1, min(wanted, (rest - layer) / max(1, group)))
        var left = rest - max(layer + group * streams, logits, tables)
        head = left >= wholeHead ? wholeHead : 0
        left -= head
        activations = left >= states ? states : 0
        scratchFile = activations > 0 ? 0 : states
    }

    /// Refuses a budget below the least.
    ///
    /// - Throws: `ExtractError` with the least that works.
    func check() throws {
        guard budget < least else { return }
        func text(_ bytes: Int) -> String { ByteCount.text(bytes) }
        // Rounded up with some room: what the message says must work, and two starts of the process
        // differ by a few MiB of library pages.
        let enough = (least >> 20) + 8
        throw ExtractError(
            .badSetting,
            "extract.memory",
            "\(text(budget)) is too little: at least \(enough) MiB are needed (the process "
                + "\(text(process)), a layer \(text(layer)), a group of examples \(text(group)), "
                + "logits \(text(logits)), the open shard \(text(shard)))",
            remedy: "Give --memory \(enough)MiB or more, or lower extract.shard_mib"
        )
    }
}

extension Extraction {
    /// What a run has resident; read from the sizes of the teacher and the dataset alone.
    ///
    /// - Throws: `ModelError` when the teacher's sizes make no sense.
    func memoryPlan() throws -> MemoryPlan {
        MemoryPlan(
            try memorySizes(),
            budget: settings.memory?.bytes ?? MachineMemory.defaultBudget,
            resident: MachineMemory.resident
        )
    }

    func memorySizes() throws -> MemoryPlan.Sizes {
        let c = checkpoint.configuration
        let blocks = plan.shards.indices.flatMap { plan.blocks(ofShard: $0) }
        return MemoryPlan.Sizes(
            teacher: try TeacherSizes(checkpoint),
            width: c.hiddenSize,
            vocabulary: c.vocabularySize,
            isBF16: settings.compute.available == .bf16,
            groupTokens: blocks.joined().map(plan.tokens).max() ?? 0,
            blockTokens: blocks.map { $0.reduce(0) { $0 + plan.tokens($1) } }.max() ?? 0,
            mostStreams: blocks.map(\.count).max() ?? 1,
            hiddenLayers: settings.hiddenLayers.count,
            waitingRows: settings.hiddenType == .int8
                ? CacheSignals.rowsOfAScale * c.hiddenSize * 4 * (1 + settings.hiddenLayers.count)
                : 0,
            // Gathered, normed, and in a record, whose numbers are then rounded to two bytes.
            rowBytes: 14 * c.hiddenSize * (1 + settings.hiddenLayers.count)
                + 14 * settings.storedTopK,
            shard: plan.largestShard
        )
    }
}
