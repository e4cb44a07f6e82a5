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
    // Those with factors are copies, which must live until they are written.
    let parameters = model.mergedParameters
    try withExtendedLifetime(parameters) {
        try SafetensorsWriter.write(
            parameters.map {
                (
                    $0.name, $0.shape,
                    UnsafeBufferPointer(start: $0.value.base, count: $0.value.count)
                )
            },
            type: type,
            metadata: ["format": "pt"],
            to: directory.appendingPathComponent("model.safetensors")
        )
    }
    // Last, since a directory with a config.json is taken for a whole model.
    do {
        let config = try ConfigText.data(model.configuration.jsonObject(type: type))
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
