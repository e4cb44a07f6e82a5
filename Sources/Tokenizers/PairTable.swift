/// A hash table from a pair of 32-bit numbers to a 64-bit value, open addressing, no deletion.
///
/// Merges (left id, right id) are looked up several times a word, so the table is two flat arrays and
/// a mixing function, not a `Dictionary`. The seed keeps a crafted file from choosing collisions.
struct PairTable: Sendable {
    /// Returned for a pair that is not in the table; never a stored value.
    static let absent = UInt64.max

    private var keys: [UInt64]
    private var values: [UInt64]
    private var mask: Int
    private let seed: UInt64
    private(set) var count = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        keys = [UInt64](repeating: .max, count: size)
        values = [UInt64](repeating: .max, count: size)
        mask = size - 1
        seed = UInt64.random(in: .min ... .max)
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var hash = (key ^ seed) &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        hash = hash &* 0xD6E8_FEB8_6659_FD93
        hash ^= hash >> 29
        return Int(truncatingIfNeeded: hash) & mask
    }

    @inline(__always)
    func value(_ left: UInt32, _ right: UInt32) -> UInt64 {
        let key = UInt64(left) << 32 | UInt64(right)
        var index = slot(key)
        while true {
            let found = keys[index]
            if found == key { return values[index] }
            if found == .max { return Self.absent }
            index = (index + 1) & mask
        }
    }

    /// Stores a value; false, and nothing changes, when the pair is already there.
    ///
    /// - Precondition: not both numbers are `UInt32.max`.
    mutating func insert(_ left: UInt32, _ right: UInt32, _ value: UInt64) -> Bool {
        if count * 2 >= keys.count { grow() }
        let key = UInt64(left) << 32 | UInt64(right)
        var index = slot(key)
        while keys[index] != .max {
            if keys[index] == key { return false }
            index = (index + 1) & mask
        }
        keys[index] = key
        values[index] = value
        count += 1
        return true
    }

    private mutating func grow() {
        let old = (keys, values)
        keys = [UInt64](repeating: .max, count: old.0.count * 2)
        values = keys
        mask = keys.count - 1
        for (key, value) in zip(old.0, old.1) where key != .max {
            var index = slot(key)
            while keys[index] != .max { index = (index + 1) & mask }
            keys[index] = key
            values[index] = value
        }
    }
}
