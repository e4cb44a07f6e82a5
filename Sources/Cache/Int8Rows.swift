import CKernels

/// Rows of hidden states on their way to int8: a scale for each channel over a fixed number of
/// rows, and one for each row.
///
/// A value is q x channel scale x row scale, q from -127 to 127. Rows wait until their group is
/// full, so that a shard of any size takes the memory of one group.
struct Int8Rows {
    /// Quantised rows of one group.
    struct Group {
        /// (rows, width).
        var values: [Int8]
        /// (width), the root mean square of each channel.
        var channelScales: [Float]
        /// (rows) bf16.
        var rowScales: [UInt16]
    }

    let width: Int
    private var waiting: [Float] = []

    init(width: Int) {
        self.width = width
    }

    /// Takes rows (n, width) in and gives the groups that are full now.
    mutating func append(_ rows: [Float]) -> [Group] {
        waiting.append(contentsOf: rows)
        let size = CacheSignals.rowsOfAScale * width
        var groups: [Group] = []
        var start = 0
        while waiting.count - start >= size {
            groups.append(quantize(waiting[start..<start + size]))
            start += size
        }
        waiting.removeFirst(start)
        return groups
    }

    /// The last group, which may be smaller; nil when no row waits.
    mutating func finish() -> Group? {
        guard !waiting.isEmpty else { return nil }
        defer { waiting = [] }
        return quantize(waiting[...])
    }

    private func quantize(_ rows: ArraySlice<Float>) -> Group {
        let count = rows.count / width
        let start = rows.startIndex
        var squares = [Double](repeating: 0, count: width)
        for row in 0..<count {
            for channel in 0..<width {
                let value = Double(rows[start + row * width + channel])
                squares[channel] += value * value
            }
        }
        // A channel that is always zero, or too small to be divided by, has any scale.
        let scales = squares.map { sum -> Float in
            let scale = Float((sum / Double(count)).squareRoot())
            return scale > 1e-18 ? min(scale, 1e18) : 1
        }
        let inverse = scales.map { 1 / $0 }
        var group = Group(
            values: [Int8](repeating: 0, count: rows.count),
            channelScales: scales,
            rowScales: []
        )
        rows.withUnsafeBufferPointer { x in
            group.values.withUnsafeMutableBufferPointer { q in
                guard let x = x.baseAddress, let q = q.baseAddress else { return }
                for row in 0..<count {
                    let at = row * width
                    let scale = ck_quantize_row(x + at, inverse, q + at, width)
                    // Already a bf16: its lower half is zero.
                    group.rowScales.append(UInt16(scale.bitPattern >> 16))
                }
            }
        }
        return group
    }
}
