import CKernels
import Tensors

/// What a block adds to its residual stream: attention or feed-forward.
protocol BlockLayer: AnyObject {
    var parameters: [Parameter] { get }
    /// Its linear maps.
    var linears: [Linear] { get }
    /// Writes to `target` (T, d) what the layer makes of x (T, d), or adds it; x is kept as it is.
    func forward(_ x: Matrix, into target: Matrix, accumulate: Bool, _ context: BlockContext)
    /// Writes to `target` the gradient of the input, or adds it, given that of the result, which is kept
    /// as it is.
    ///
    /// - Parameter x: The input of the forward pass.
    func backward(
        _ gradient: Matrix,
        input x: Matrix,
        into target: Matrix,
        accumulate: Bool,
        _ context: BlockContext
    )
}

/// Attention and feed-forward around a residual stream, with norms before them (most models), after
/// them (OLMo 2) or both (Gemma 2 and 3); one after the other, or both of the same input (GPT-NeoX).
///
/// For the way back it keeps the stream before each layer; what the norm makes of it is computed again.
final class ResidualBlock: TransformerBlock {
    /// x + dropout(after(layer(before(x)))).
    struct Branch {
        var before: Norm?
        let layer: any BlockLayer
        var after: Norm?

        /// What the layer gets.
        func input(_ stream: Matrix) -> Matrix { before.map { $0(stream) } ?? stream }
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

    var linears: [Linear] { branches.flatMap(\.branch.layer.linears) }

    func forward(_ x: Matrix, _ context: BlockContext) {
        if isParallel {
            // Both see the stream as it was, so both norms come first.
            let stream = kept(branches.map(\.name), x, context)
            let inputs = branches.map { _, branch in branch.input(stream) }
            for ((name, branch), input) in zip(branches, inputs) {
                add(name, branch, input, to: x, context)
            }
            return
        }
        for (name, branch) in branches {
            add(name, branch, branch.input(kept([name], x, context)), to: x, context)
        }
    }

    /// The stream, or with a tape a copy, which the tape holds for the branches: layers add to x itself.
    private func kept(_ names: [String], _ x: Matrix, _ context: BlockContext) -> Matrix {
        guard context.tape != nil else { return x }
        let copy = x.copied()
        for name in names { context.keep("\(name).stream", copy) }
        return copy
    }

    func layerInputs(_ context: BlockContext) -> [Matrix] {
        branches.map { name, branch in branch.input(context.kept("\(name).stream")) }
    }

    func activated(_ context: BlockContext) -> Matrix {
        guard let layer = feedForward.layer as? FeedForward else {
            preconditionFailure("a block without a feed-forward layer")
        }
        return layer.activated(context)
    }

    private func add(
        _ name: String,
        _ branch: Branch,
        _ input: Matrix,
        to x: Matrix,
        _ context: BlockContext
    ) {
        let dropout = context.dropout(name)
        guard branch.after != nil || dropout != nil else {
            branch.layer.forward(input, into: x, accumulate: true, context)
            return
        }
        var result = Matrix(uninitialized: x.rows, x.columns)
        branch.layer.forward(input, into: result, accumulate: false, context)
        if let after = branch.after {
            context.keep("\(name).result", result)
            result = after(result)
        }
        dropout?.apply(to: result)
        result.add(to: x)
    }

    func backward(_ x: Matrix, _ context: BlockContext) {
        if isParallel {
            let gradients = branches.map { name, branch in
                inputGradient(name, branch, x, context)
            }
            for ((name, branch), gradient) in zip(branches, gradients) {
                finish(name, branch, gradient, x, context)
            }
            return
        }
        for (name, branch) in branches.reversed() {
            finish(name, branch, inputGradient(name, branch, x, context), x, context)
        }
    }

    /// The gradient of a layer's input, given that of the stream after it.
    private func inputGradient(
        _ name: String,
        _ branch: Branch,
        _ x: Matrix,
        _ context: BlockContext
    ) -> Matrix {
        var result = x
        if let dropout = context.dropout(name) {
            result = x.copied()
            dropout.apply(to: result)
        }
        if let after = branch.after {
            let normed = result
            result = Matrix(zeros: x.rows, x.columns)
            after.backward(normed, input: context.kept("\(name).result"), into: result)
        }
        let gradient = Matrix(uninitialized: x.rows, x.columns)
        branch.layer.backward(
            result,
            input: branch.input(context.kept("\(name).stream")),
            into: gradient,
            accumulate: false,
            context
        )
        return gradient
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
            gradient.add(to: x)
        }
    }
}
