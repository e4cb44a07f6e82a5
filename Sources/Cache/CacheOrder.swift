import Foundation

/// A generator of 64-bit numbers made from a seed (SplitMix64): the same on every machine.
struct OrderGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// A generator for one purpose; equal arguments give equal numbers.
    init(seed: UInt64, epoch: Int, stream: Int) {
        state = seed
        state = next() ^ UInt64(truncatingIfNeeded: epoch)
        state = next() ^ UInt64(truncatingIfNeeded: stream)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Fisher-Yates, written out: the standard library does not promise to keep its algorithm.
    mutating func shuffle<T>(_ values: inout [T]) {
        for i in stride(from: values.count - 1, to: 0, by: -1) {
            values.swapAt(i, Int(next().multipliedFullWidth(by: UInt64(i + 1)).high))
        }
    }
}

/// The order of one epoch: a pure function of (seed, epoch), the shards' sizes and the window.
///
/// Shards are shuffled and taken some at a time; the examples of those are cut into blocks of neighbours,
/// which lie in the same chunks, and the blocks are shuffled; then each window of the sequence that this
/// gives is shuffled example by example. So a window mixes blocks of several shards, few shards are in use
/// at a time, and any place of the sequence is found without reading a file.
struct CacheOrder {
    /// Where one example lies: the n-th of its split in a shard.
    struct Place: Equatable {
        var shard: Int
        var ordinal: Int
    }

    /// Examples of a block.
    static let blockExamples = 32
    /// Shards whose blocks are shuffled among each other.
    static let shardsInUse = 16

    private let seed: UInt64
    private let epoch: Int
    private let window: Int
    /// Examples of each shard.
    private let sizes: [Int]
    /// The shards in their order, cut into groups of `shardsInUse`.
    private let groups: [[Int]]
    /// Where each group begins in the sequence, and the end.
    private let starts: [Int]
    /// Examples in an epoch.
    let count: Int

    init(sizes: [Int], seed: UInt64, epoch: Int, window: Int) {
        self.sizes = sizes
        self.seed = seed
        self.epoch = epoch
        self.window = max(1, window)
        var shards = sizes.indices.filter { sizes[$0] > 0 }
        var generator = OrderGenerator(seed: seed, epoch: epoch, stream: -1)
        generator.shuffle(&shards)
        groups = stride(from: 0, to: shards.count, by: Self.shardsInUse).map {
            Array(shards[$0..<min($0 + Self.shardsInUse, shards.count)])
        }
        starts = groups.reduce(into: [0]) { starts, group in
            starts.append((starts.last ?? 0) + group.reduce(0) { $0 + sizes[$1] })
        }
        count = starts.last ?? 0
    }

    /// Number of windows.
    var windows: Int { (count + window - 1) / window }
    /// The window that has the example at `position` of the epoch.
    func windowIndex(of position: Int) -> Int { position / window }
    /// Where window `index` begins.
    func start(ofWindow index: Int) -> Int { index * window }

    /// The examples of window `index`, in order.
    func places(ofWindow index: Int) -> [Place] {
        let wanted = start(ofWindow: index)..<min(count, start(ofWindow: index + 1))
        var places: [Place] = []
        places.reserveCapacity(wanted.count)
        for (number, group) in groups.enumerated()
        where starts[number] < wanted.upperBound && starts[number + 1] > wanted.lowerBound {
            let all = sequence(of: group, number: number)
            let first = max(0, wanted.lowerBound - starts[number])
            let end = min(all.count, wanted.upperBound - starts[number])
            places += all[first..<end]
        }
        var generator = OrderGenerator(seed: seed, epoch: epoch, stream: index)
        generator.shuffle(&places)
        return places
    }

    /// The examples of a group of shards, its blocks shuffled.
    private func sequence(of group: [Int], number: Int) -> [Place] {
        var blocks = group.flatMap { shard in
            stride(from: 0, to: sizes[shard], by: Self.blockExamples).map {
                Place(shard: shard, ordinal: $0)
            }
        }
        var generator = OrderGenerator(seed: seed, epoch: epoch, stream: -2 - number)
        generator.shuffle(&blocks)
        return blocks.flatMap { block in
            (block.ordinal..<min(block.ordinal + Self.blockExamples, sizes[block.shard])).map {
                Place(shard: block.shard, ordinal: $0)
            }
        }
    }
}
