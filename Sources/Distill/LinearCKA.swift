import Tensors

/// Linear centred kernel alignment of two models' states at the same places: 1 where one is a rotated and scaled
/// copy of the other, 0 where they have nothing in common.
///
/// Source: S. Kornblith et al., "Similarity of Neural Network Representations Revisited" (2019), in the form
/// of features, so that no matrix of positions x positions is made.
struct LinearCKA {
    private var products: (xx: [Double], xy: [Double], yy: [Double]) = ([], [], [])
    private var sums: (x: [Double], y: [Double]) = ([], [])
    private var count = 0.0

    /// Adds positions.
    ///
    /// - Parameters:
    ///   - x: (k, d), of one model.
    ///   - y: (k, D), of the other.
    mutating func add(_ x: Matrix, _ y: Matrix) {
        precondition(x.rows == y.rows, "states of the same places")
        guard x.rows > 0 else { return }
        Self.add(x, x, to: &products.xx)
        Self.add(x, y, to: &products.xy)
        Self.add(y, y, to: &products.yy)
        Self.add(x, to: &sums.x)
        Self.add(y, to: &sums.y)
        count += Double(x.rows)
    }

    /// The alignment; nil before anything was added, and where a model's states are all the same.
    var value: Double? {
        guard count > 0, let xx = spread(products.xx, sums.x), let yy = spread(products.yy, sums.y)
        else { return nil }
        let value = squares(products.xy, sums.x, sums.y) / (xx * yy).squareRoot()
        return value.isFinite ? value : nil
    }

    /// The squares of one side's centred products; nil where they are rounding alone.
    private func spread(_ product: [Double], _ sum: [Double]) -> Double? {
        let found = squares(product, sum, sum)
        let all = product.reduce(0) { $0 + $1 * $1 }
        return found > Self.rounding * all ? found : nil
    }

    /// Of float32 products, squared, with room.
    private static let rounding = 1e-12

    /// The sum of squares of the centred products: X^T Y - n mean(x) mean(y)^T.
    private func squares(_ product: [Double], _ x: [Double], _ y: [Double]) -> Double {
        var sum = 0.0
        for i in x.indices {
            for j in y.indices {
                let centred = product[i * y.count + j] - x[i] * y[j] / count
                sum += centred * centred
            }
        }
        return sum
    }

    /// Products of some hundred rows are float32, their sum is not.
    private static func add(_ x: Matrix, _ y: Matrix, to total: inout [Double]) {
        let product = Matrix(uninitialized: x.columns, y.columns)
        multiply(x, transposeA: true, y, into: product)
        if total.isEmpty { total = [Double](repeating: 0, count: product.count) }
        for i in 0..<product.rows {
            let row = product.row(i)
            for j in 0..<product.columns { total[i * product.columns + j] += Double(row[j]) }
        }
    }

    private static func add(_ x: Matrix, to total: inout [Double]) {
        if total.isEmpty { total = [Double](repeating: 0, count: x.columns) }
        for i in 0..<x.rows {
            for j in 0..<x.columns { total[j] += Double(x[i, j]) }
        }
    }
}
