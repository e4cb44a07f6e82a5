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

        /// Copies the rows of k and v (n, width) to a slot, from a position on.
        func store(_ k: Matrix, _ v: Matrix, rows: Range<Int>, slot: Int, position: Int) {
            for (offset, row) in rows.enumerated() {
                keyRow(slot: slot, position: position + offset)
                    .update(from: k.row(row), count: k.columns)
                valueRow(slot: slot, position: position + offset)
                    .update(from: v.row(row), count: v.columns)
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
