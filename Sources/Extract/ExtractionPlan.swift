import Models

/// Which examples go into which shard, and in which groups and blocks they are run.
///
/// Shards and groups depend on the dataset and the settings alone, so an interrupted extraction and an
/// uninterrupted one make the same shards, whatever memory they have. Blocks are runs of whole groups:
/// a product of the same rows gives the same bits, so their size changes no number.
struct ExtractionPlan: Sendable {
    /// Sequences are pushed through a layer in groups of about this many tokens, so that what a layer
    /// makes in between stays small however large the block.
    static let groupTokens = 1_024

    /// Index ranges of the examples of each shard.
    let shards: [Range<Int>]
    /// Bytes of the largest shard before compression.
    let largestShard: Int
    private let blockTokens: Int
    private let examples: [TokenizedExample]

    init(_ examples: [TokenizedExample], rowBytes: Int, settings: ExtractSettings) {
        self.examples = examples
        blockTokens = settings.blockTokens ?? Int.max
        let limit = settings.shardMiB << 20
        var shards: [Range<Int>] = []
        var largest = 0
        var start = 0
        var bytes = 0
        for (index, example) in examples.enumerated() {
            let size =
                example.rows(settings.positions).count * rowBytes + 4 * example.tokenIDs.count
                + example.example.prompt.utf8.count + example.example.response.utf8.count
            if bytes > 0, bytes + size > limit {
                shards.append(start..<index)
                (start, bytes) = (index, 0)
            }
            bytes += size
            largest = max(largest, bytes)
        }
        shards.append(start..<examples.count)
        self.shards = shards
        largestShard = largest
    }

    /// The blocks of a shard: runs of groups of at most `blockTokens` tokens, at least one each.
    func blocks(ofShard shard: Int) -> [[Range<Int>]] {
        var blocks: [[Range<Int>]] = []
        var tokens = 0
        for group in Self.groups(of: shards[shard], examples) {
            let count = self.tokens(group)
            if let last = blocks.indices.last, count <= blockTokens - tokens {
                blocks[last].append(group)
                tokens += count
            } else {
                blocks.append([group])
                tokens = count
            }
        }
        return blocks
    }

    /// Tokens of some examples.
    func tokens(_ range: Range<Int>) -> Int { examples[range].tokenCount }

    /// Runs of examples of at most `groupTokens` tokens, at least one each.
    static func groups(of range: Range<Int>, _ examples: [TokenizedExample]) -> [Range<Int>] {
        VarlenBatch.runs(of: range, limit: groupTokens) { examples[$0].tokenIDs.count }
    }
}
