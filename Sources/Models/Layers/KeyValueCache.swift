import Tensors

/// The keys and values of the tokens generated so far, for a fixed number of sequences (slots).
final class KeyValueCache {
    /// One layer's keys and values: (slots * capacity, keyValueHeads * headSize).
    struct Layer: Sendable {
        let keys: Matrix
        let values: Matrix
        let capacity: Int

        func keyRow(slot: Int, position: Int) -> UnsafeMutablePointer<Float> {
            keys.row(slot * capacity + position)
        }

        func valueRow(slot: Int, position: Int) -> UnsafeMutablePointer<Float> {
            values.row(slot * capacity + position)
        }

        /// Copies rows of k and v to a slot, from a position on: heads of `size` floats that lie
        /// `step` apart there and end to end here.
        func store(
            _ k: Matrix,
            _ v: Matrix,
            rows: Range<Int>,
            size: Int,
            step: Int,
            slot: Int,
            position: Int
        ) {
            let (pieces, width) = size == step ? (1, keys.columns) : (keys.columns / size, size)
            for (offset, row) in rows.enumerated() {
                let key = keyRow(slot: slot, position: position + offset)
                let value = valueRow(slot: slot, position: position + offset)
                for piece in 0..<pieces {
                    (key + piece * width).update(from: k.row(row) + piece * step, count: width)
                    (value + piece * width).update(from: v.row(row) + piece * step, count: width)
                }
            }
        }
    }

    let layers: [Layer]
    let capacity: Int

    init(_ configuration: ModelConfiguration, slots: Int, capacity: Int) {
        let width = configuration.keyValueHeadCount * configuration.headSize
        self.capacity = capacity
        layers = (0..<configuration.layerCount).map { _ in
            Layer(
                keys: Matrix(uninitialized: slots * capacity, width),
                values: Matrix(uninitialized: slots * capacity, width),
                capacity: capacity
            )
        }
    }
}
