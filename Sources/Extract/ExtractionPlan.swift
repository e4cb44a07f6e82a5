/// Which examples go into which shard, and in which blocks they are run.
///
/// It depends on the dataset and the settings alone, so an interrupted extraction and an
/// uninterrupted one make the same shards.
struct ExtractionPlan: Sendable {
    /// Index ranges of the examples of each shard.
    let shards: [Range<Int>]
    private let blockTokens: Int
    private let examples: [TokenizedExample]

    init(_ examples: [TokenizedExample], rowBytes: Int, settings: ExtractSettings) {
        self.examples = examples
        blockTokens = settings.blockTokens
        let limit = settings.shardMiB << 20
        var shards: [Range<Int>] = []
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
        }
        shards.append(start..<examples.count)
        self.shards = shards
    }

    /// The blocks of a shard: runs of examples of at most `blockTokens` tokens, at least one each.
    func blocks(ofShard shard: Int) -> [Range<Int>] {
        var blocks: [Range<Int>] = []
        var start = shards[shard].lowerBound
        var tokens = 0
        for index in shards[shard] {
            let count = examples[index].tokenIDs.count
            if tokens > 0, tokens + count > blockTokens {
                blocks.append(start..<index)
                (start, tokens) = (index, 0)
            }
            tokens += count
        }
        blocks.append(start..<shards[shard].upperBound)
        return blocks
    }
}
