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
}
