import CKernels
import Tensors

/// A low-rank addition to a weight: y += scale * dropout(x) A^T B^T (Hu and others 2021, LoRA).
final class LoraFactors {
    /// [r, in].
    let a: Parameter
    /// [out, r].
    let b: Parameter
    let scale: Float
    /// The share of the inputs that is set to 0 in training.
    let dropout: Float
    /// Tells this layer's masks from others'.
    private let place: UInt64
    private var products: (a: WeightProducts, b: WeightProducts)?

    init(a: Parameter, b: Parameter, scale: Float, dropout: Float) {
        self.a = a
        self.b = b
        self.scale = scale
        self.dropout = dropout
        var random = RandomNumbers(seed: 0, purpose: a.name)
        place = random.next()
    }

    var parameters: [Parameter] { [a, b] }

    func prepareTraining(_ compute: ComputeType) {
        products = (
            WeightProducts(a.value, compute: compute), WeightProducts(b.value, compute: compute)
        )
    }

    func weightsChanged() {
        products?.a.refresh()
        products?.b.refresh()
    }

    /// Adds to `out` (rows, out) what the factors make of x (rows, in).
    ///
    /// - Parameter rows: x, ready for products.
    func add(_ x: Matrix, _ rows: ProductRows, noise: UInt64?, to out: Matrix) {
        guard let products else { preconditionFailure("factors not prepared for training") }
        let inner = inner(dropped(x, rows, noise) ?? rows, products.a)
        products.b.multiply(
            ProductRows(inner, compute: products.b.compute),
            into: out,
            accumulate: true
        )
    }

    /// Adds to both factors' gradients, and to that of the input.
    ///
    /// - Parameters:
    ///   - gradient: (rows, out).
    ///   - target: (rows, in).
    func backward(
        _ gradient: ProductRows,
        input x: Matrix,
        _ rows: ProductRows,
        noise: UInt64?,
        addingTo target: Matrix
    ) {
        guard let products else { preconditionFailure("factors not prepared for training") }
        let masked = dropped(x, rows, noise)
        let inner = inner(masked ?? rows, products.a)
        if let sum = b.gradient {
            let rows = ProductRows(replacing: inner, compute: products.b.compute)
            products.b.addGradient(gradient, x: rows, to: sum)
        }
        let dInner = Matrix(uninitialized: x.rows, a.value.rows)
        products.b.multiplyBack(gradient, into: dInner)
        ck_scale(dInner.base, scale, dInner.count)
        let dRows = ProductRows(replacing: dInner, compute: products.a.compute)
        if let sum = a.gradient { products.a.addGradient(dRows, x: masked ?? rows, to: sum) }
        guard masked != nil, let noise else {
            products.a.multiplyBack(dRows, into: target, accumulate: true)
            return
        }
        let dX = Matrix(uninitialized: x.rows, x.columns)
        products.a.multiplyBack(dRows, into: dX)
        Dropout(rate: dropout, noise: noise ^ place).apply(to: dX)
        dX.add(to: target)
    }

    /// scale * x A^T (rows, r).
    private func inner(_ x: ProductRows, _ a: WeightProducts) -> Matrix {
        let inner = Matrix(uninitialized: x.rowCount, a.outputs)
        a.multiply(x, into: inner)
        ck_scale(inner.base, scale, inner.count)
        return inner
    }

    /// x with some of it set to 0; nil where nothing is.
    private func dropped(_ x: Matrix, _ rows: ProductRows, _ noise: UInt64?) -> ProductRows? {
        guard dropout > 0, let noise else { return nil }
        let copy = x.copied()
        Dropout(rate: dropout, noise: noise ^ place).apply(to: copy)
        return ProductRows(replacing: copy, compute: rows.compute)
    }
}
