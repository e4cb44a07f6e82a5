import Foundation
import Tensors

/// Writes a model as a Hugging Face directory that transformers loads: config.json and
/// model.safetensors.
///
/// Tokenizer files are the caller's to add.
///
/// - Parameters:
///   - directory: Made if it is not there; files of those names are replaced.
///   - type: `f32`, `bf16` or `f16`.
/// - Throws: `ModelError` when a file cannot be written.
public func exportHuggingFace(
    _ model: any LanguageModel,
    to directory: URL,
    type: WeightType = .f32
) throws {
    // Those with low-rank factors are copies, which must live until they are written.
    let parameters = model.mergedParameters
    try withExtendedLifetime(parameters) {
        try exportHuggingFace(
            parameters.map {
                let values = UnsafeBufferPointer(start: $0.value.base, count: $0.value.count)
                return .init(name: $0.name, shape: $0.shape, payload: .floats(values, as: type))
            },
            model.configuration,
            to: directory,
            type: type
        )
    }
}

/// The same, weights being read while they are written: nothing of the model's size is held.
///
/// - Parameters:
///   - weights: All that a model of that configuration has.
///   - directory: Made if it is not there; files of those names are replaced.
///   - type: `f32`, `bf16` or `f16`.
/// - Throws: `ModelError` when a file cannot be read or written.
public func exportHuggingFace(
    _ weights: [StreamedWeight],
    _ configuration: ModelConfiguration,
    to directory: URL,
    type: WeightType = .f32
) throws {
    try exportHuggingFace(
        weights.map {
            .init(name: $0.name, shape: $0.shape, payload: .streamed($0, as: type))
        },
        configuration,
        to: directory,
        type: type
    )
}

private func exportHuggingFace(
    _ entries: [SafetensorsWriter.Entry],
    _ configuration: ModelConfiguration,
    to directory: URL,
    type: WeightType
) throws {
    do {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    } catch {
        throw ModelError(
            .io,
            path: directory.path,
            "the directory cannot be made: \(error.localizedDescription)",
            remedy: "Check free space and permissions"
        )
    }
    try SafetensorsWriter.write(
        entries,
        metadata: ["format": "pt"],
        to: directory.appendingPathComponent("model.safetensors")
    )
    // Last, since a directory with a config.json is taken for a whole model.
    do {
        let config = try ConfigText.data(configuration.jsonObject(type: type))
        try config.write(to: directory.appendingPathComponent("config.json"), options: .atomic)
    } catch {
        throw ModelError(
            .io,
            path: directory.path,
            "config.json cannot be written: \(error.localizedDescription)",
            remedy: "Check free space and permissions"
        )
    }
}
