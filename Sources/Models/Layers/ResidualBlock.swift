import CKernels
import Tensors

/// What a block adds to its residual stream: attention or feed-forward.
protocol BlockLayer: AnyObject {
    var parameters: [Parameter] { get }
    /// Makes the weights ready for products in that precision.
    func pack(_ compute: ComputeType)
    /// Writes to `target` (T, d) what the layer makes of x (T, d), or adds it; x is kept as it is.
    func forward(_ x: Matrix, into target: Matrix, accumulate: Bool, _ context: BlockContext)
    /// Writes to `target` the gradient of the input, or adds it, given that of the result.
    func backward(
        _ gradient: Matrix,
        into target: Matrix,
        accumulate: Bool,
        _ context: BlockContext
    )
}

/// Attention and feed-forward around a residual stream, with norms before them (most models), after
/// them (OLMo 2) or both (Gemma 2 and 3); one after the other, or both of the same input (GPT-NeoX).
final class ResidualBlock: TransformerBlock {
    /// x + after(layer(before(x))).
    struct Branch {
        var before: Norm?
        let layer: any BlockLayer
        var after: Norm?
    }

    private let attention: Branch
    private let feedForward: Branch
    private let isParallel: Bool

    init(attention: Branch, feedForward: Branch, parallel: Bool = false) {
        precondition(!parallel || (attention.after == nil && feedForward.after == nil))
        self.attention = attention
        self.feedForward = feedForward
        isParallel = parallel
    }

    private var branches: [(name: String, branch: Branch)] {
        [("attention", attention), ("feedForward", feedForward)]
    }

    var parameters: [Parameter] {
        branches.flatMap { _, branch in
            (branch.before?.parameters ?? []) + branch.layer.parameters
                + (branch.after?.parameters ?? [])
        }
    }

    func pack(_ compute: ComputeType) {
        for (_, branch) in branches { branch.layer.pack(compute) }
    }

    func forward(_ x: Matrix, _ context: BlockContext) {
        if isParallel {
            // Both see the stream as it was, so both norms come first.
            let before = context.tape == nil ? x : x.copied()
            let inputs = branches.map { name, branch in input(name, branch, before, context) }
            for ((_, branch), input) in zip(branches, inputs) {
                branch.layer.forward(input, into: x, accumulate: true, context)
            }
            return
        }
        for (name, branch) in branches {
            let before = context.tape == nil ? x : x.copied()
            let input = input(name, branch, before, context)
            guard let after = branch.after else {
                branch.layer.forward(input, into: x, accumulate: true, context)
                continue
            }
            let result = Matrix(uninitialized: x.rows, x.columns)
            branch.layer.forward(input, into: result, accumulate: false, context)
            context.keep("\(name).result", result)
            after.add(result, to: x)
        }
    }

    /// What the layer of a branch gets; `x` is not written to while the tape holds it.
    private func input(_ name: String, _ branch: Branch, _ x: Matrix, _ context: BlockContext)
        -> Matrix
    {
        guard let before = branch.before else { return x }
        context.keep("\(name).stream", x)
        return before(x)
    }

    func backward(_ x: Matrix, _ context: BlockContext) {
        if isParallel {
            let gradients = branches.map { _, branch in
                let gradient = Matrix(uninitialized: x.rows, x.columns)
                branch.layer.backward(x, into: gradient, accumulate: false, context)
                return gradient
            }
            for ((name, branch), gradient) in zip(branches, gradients) {
                finish(name, branch, gradient, x, context)
            }
            return
        }
        for (name, branch) in branches.reversed() {
            var result = x
            if let after = branch.after {
                result = Matrix(zeros: x.rows, x.columns)
                after.backward(x, input: context.kept("\(name).result"), into: result)
            }
            let gradient = Matrix(uninitialized: x.rows, x.columns)
            branch.layer.backward(result, into: gradient, accumulate: false, context)
            finish(name, branch, gradient, x, context)
        }
    }

    /// Adds to the stream's gradient that of a layer's input, through the norm before it.
    private func finish(
        _ name: String,
        _ branch: Branch,
        _ gradient: Matrix,
        _ x: Matrix,
        _ context: BlockContext
    ) {
        if let before = branch.before {
            before.backward(gradient, input: context.kept("\(name).stream"), into: x)
        } else {
            for row in 0..<x.rows { ck_add(x.row(row), gradient.row(row), x.columns) }
        }
    }
}
