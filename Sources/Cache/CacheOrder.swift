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
/// Shards are shuffled and laid end to end; then each window of that sequence is shuffled within
/// itself, so only the shards under one window are in use at a time.
struct CacheOrder {
    /// Where one example lies: the n-th of its split in a shard.
    struct Place: Equatable {
        var shard: Int
        var ordinal: Int
    }

    private let seed: UInt64
    private let epoch: Int
    private let window: Int
    private let shards: [Int]
    private let starts: [Int]
    /// Examples in an epoch.
    let count: Int

    init(sizes: [Int], seed: UInt64, epoch: Int, window: Int) {
        self.seed = seed
        self.epoch = epoch
        self.window = max(1, window)
        var shards = Array(sizes.indices)
        var generator = OrderGenerator(seed: seed, epoch: epoch, stream: -1)
        generator.shuffle(&shards)
        self.shards = shards
        var starts = [0]
        for shard in shards { starts.append((starts.last ?? 0) + sizes[shard]) }
        self.starts = starts
        count = starts.last ?? 0
    }

    /// Number of windows.
    var windows: Int { (count + window - 1) / window }

    /// The examples of window `index`, in order.
    func places(ofWindow index: Int) -> [Place] {
        let first = index * window
        var positions = Array(first..<min(count, first + window))
        var slot = (starts.lastIndex { $0 <= first } ?? 0)
        var places = positions.map { position -> Place in
            while slot + 1 < starts.count && starts[slot + 1] <= position { slot += 1 }
            return Place(shard: shards[slot], ordinal: position - starts[slot])
        }
        positions = []
        var generator = OrderGenerator(seed: seed, epoch: epoch, stream: index)
        generator.shuffle(&places)
        return places
    }
}
