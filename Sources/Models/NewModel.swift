import Foundation
import Tensors

/// Random weights for a new model: each by its name and the seed, whatever the order of asking.
public struct RandomParameters: ParameterSource {
    let seed: UInt64

    /// The same seed gives the same model.
    public init(seed: UInt64) { self.seed = seed }

    /// See `ParameterSource`.
    public func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) -> Parameter {
        let parameter = Parameter(name: name, zeros: shape)
        switch initial {
        case .zeros: break
        case .ones: parameter.value.fill(1)
        case .normal(let deviation):
            var random = RandomNumbers(seed: seed, purpose: name)
            parameter.value.fillNormal(deviation: deviation, using: &random)
        }
        return parameter
    }
}

/// Some layers of another model, under new numbers; everything else as it is there.
public struct PrunedParameters: ParameterSource {
    let source: any ParameterSource
    let layers: [Int]

    /// - Parameter layers: The layers to keep, in order: layer i of the new model is `layers[i]`.
    public init(_ source: any ParameterSource, layers: [Int]) {
        self.source = source
        self.layers = layers
    }

    /// See `ParameterSource`.
    public func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws
        -> Parameter
    {
        var parts = name.split(separator: ".").map(String.init)
        let number = parts.count > 2 ? Int(parts[2]) : nil
        guard let number, layers.indices.contains(number) else {
            return try source.parameter(name, shape, initial)
        }
        parts[2] = String(layers[number])
        let kept = try source.parameter(parts.joined(separator: "."), shape, initial)
        return Parameter(name: name, shape: shape, value: kept.value)
    }
}

extension TransformerModel {
    /// A new model with random weights.
    public static func random(_ configuration: ModelConfiguration, seed: UInt64) throws
        -> TransformerModel
    {
        try configuration.validate("new model")
        return try TransformerModel(
            ArchitectureRegistry.make(configuration),
            from: RandomParameters(seed: seed)
        )
    }

    /// A model made of some layers of a checkpoint.
    ///
    /// - Throws: `ModelError` when a layer is not there.
    public static func pruned(_ checkpoint: Checkpoint, layers: [Int]) throws -> TransformerModel {
        var configuration = checkpoint.configuration
        guard !layers.isEmpty, layers.allSatisfy((0..<configuration.layerCount).contains) else {
            throw ModelError(
                .mismatch,
                path: checkpoint.url.path,
                "layers \(layers) of a model that has 0 to \(configuration.layerCount - 1)",
                remedy: "Name layers that the model has"
            )
        }
        configuration.layerCount = layers.count
        if !configuration.layerKinds.isEmpty {
            configuration.layerKinds = layers.map { configuration.layerKinds[$0] }
        }
        return try TransformerModel(
            ArchitectureRegistry.make(configuration),
            from: PrunedParameters(checkpoint, layers: layers)
        )
    }
}
