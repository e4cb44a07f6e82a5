import Tensors

/// Makes layers from the weights of one block, by their names in it.
struct LayerMaker {
    private let prefix: String
    private let source: any ParameterSource
    let configuration: ModelConfiguration

    /// - Parameter block: Such as "model.layers.3"; empty for weights outside the blocks.
    init(_ block: String, _ configuration: ModelConfiguration, _ source: any ParameterSource) {
        prefix = block.isEmpty ? "" : block + "."
        self.configuration = configuration
        self.source = source
    }

    /// d, the width of all query heads, and that of all key-value heads.
    var widths: (d: Int, wide: Int, narrow: Int) {
        let c = configuration
        return (c.hiddenSize, c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
    }

    /// A projection from `inputs` to `outputs` channels.
    ///
    /// - Parameter deviation: Of the weights of a new model.
    func linear(
        _ name: String,
        _ inputs: Int,
        _ outputs: Int,
        bias: Bool = false,
        layout: Linear.Layout = .outputsFirst,
        deviation: Float = 0.02
    ) throws -> Linear {
        Linear(
            weight: try source.parameter(
                "\(prefix)\(name).weight",
                layout == .outputsFirst ? [outputs, inputs] : [inputs, outputs],
                .normal(deviation)
            ),
            bias: bias
                ? try source.parameter("\(prefix)\(name).bias", [outputs], .zeros) : nil,
            layout: layout
        )
    }

    /// x / rms(x) * weight, over the hidden size unless another is given.
    func rmsNorm(_ name: String, _ size: Int? = nil) throws -> Norm {
        Norm(
            weight: try source.parameter(
                "\(prefix)\(name).weight",
                [size ?? configuration.hiddenSize],
                .ones
            ),
            epsilon: configuration.normEpsilon
        )
    }

    /// x / rms(x) * (1 + weight): Gemma's.
    func rmsNormFromOne(_ name: String, _ size: Int? = nil) throws -> Norm {
        Norm(
            weight: try source.parameter(
                "\(prefix)\(name).weight",
                [size ?? configuration.hiddenSize],
                .zeros
            ),
            epsilon: configuration.normEpsilon,
            offset: 1
        )
    }

    func layerNorm(_ name: String) throws -> Norm {
        let d = configuration.hiddenSize
        return Norm(
            weight: try source.parameter("\(prefix)\(name).weight", [d], .ones),
            bias: try source.parameter("\(prefix)\(name).bias", [d], .zeros),
            epsilon: configuration.normEpsilon
        )
    }

    /// down(activation(gate(x)) * up(x)) under the names that most families use.
    func gatedFeedForward(bias: Bool = false) throws -> FeedForward {
        let (d, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        return FeedForward(
            .gated(
                gate: try linear("mlp.gate_proj", d, inner, bias: bias),
                up: try linear("mlp.up_proj", d, inner, bias: bias)
            ),
            down: try linear("mlp.down_proj", inner, d, bias: bias),
            configuration.activation
        )
    }
}
