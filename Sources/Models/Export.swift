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
    try ExportFiles.makeDirectory(directory)
    try SafetensorsWriter.write(
        entries,
        metadata: ["format": "pt"],
        to: directory.appendingPathComponent("model.safetensors")
    )
    // Last, since a directory with a config.json is taken for a whole model.
    try ExportFiles.write(configuration.jsonObject(type: type), as: "config.json", in: directory)
}

/// The directories and small files of what is exported.
enum ExportFiles {
    /// - Throws: `ModelError` `io`.
    static func makeDirectory(_ directory: URL) throws {
        try reporting(directory, "the directory cannot be made") {
            try FileManager.default.createDirectory(
                at: directory,
                withIntermediateDirectories: true
            )
        }
    }

    /// Writes an object as JSON.
    ///
    /// - Throws: `ModelError` `io`.
    static func write(_ object: [String: Any], as name: String, in directory: URL) throws {
        try reporting(directory, "\(name) cannot be written") {
            try ConfigText.data(object).write(
                to: directory.appendingPathComponent(name),
                options: .atomic
            )
        }
    }

    private static func reporting(
        _ directory: URL,
        _ what: String,
        _ body: () throws -> Void
    ) throws {
        do { try body() } catch {
            throw ModelError(
                .io,
                path: directory.path,
                "\(what): \(error.localizedDescription)",
                remedy: "Check free space and permissions"
            )
        }
    }
}
