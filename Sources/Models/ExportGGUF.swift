import Foundation
import Tensors

/// Writes a model as a GGUF file that llama.cpp loads.
///
/// Names, arrangement of the numbers and types are those of llama.cpp's converter: matrices in the given
/// type, vectors and learned positions as f32, a matrix whose rows are no multiple of 32 as f16 instead of
/// q8_0. Weights are read while they are written.
///
/// - Parameters:
///   - tokenizer: The entries `tokenizer.*`.
///   - name: `general.name`.
///   - type: `f32`, `f16` or `q8_0`.
/// - Throws: `ModelError`: `unsupported` for what llama.cpp's architecture does not compute and for numbers
///   that the type cannot hold; `io`.
public func exportGGUF(
    _ checkpoint: Checkpoint,
    tokenizer: [(key: String, value: GGUFEntry)],
    name: String,
    type: WeightType,
    to url: URL
) throws {
    try exportGGUF(
        checkpoint,
        tokenizer: tokenizer,
        name: name,
        type: type,
        to: url,
        using: AtomicFile.systemWrite
    )
}

func exportGGUF(
    _ checkpoint: Checkpoint,
    tokenizer: [(key: String, value: GGUFEntry)],
    name: String,
    type: WeightType,
    to url: URL,
    using write: @escaping AtomicFile.Write
) throws {
    let configuration = checkpoint.configuration
    let metadata = try GGUFMetadata(configuration, path: checkpoint.url.path)
    let fileType: UInt32 =
        switch type {
        case .f32: 0
        case .f16: 1
        default: 7
        }
    var entries: [(key: String, value: GGUFEntry)] = [
        ("general.architecture", .string(metadata.architecture)),
        ("general.type", .string("model")), ("general.name", .string(name)),
        ("general.file_type", .u32(fileType)), ("general.quantization_version", .u32(2)),
    ]
    entries += metadata.entries + tokenizer
    let names = GGUFNames(
        architecture: metadata.architecture,
        headCount: configuration.headCount,
        headSize: configuration.headSize
    )
    var tensors = try checkpoint.streamedWeights().map {
        GGUFTensor($0, names.place(of: $0.name), type: type)
    }
    if let factors = metadata.rotaryFactors {
        tensors.insert(
            GGUFTensor(
                name: "rope_freqs.weight",
                shape: [factors.count],
                type: .f32,
                forEachStrip: { body in try factors.withUnsafeBufferPointer(body) }
            ),
            at: 0
        )
    }
    try GGUFWriter.write(entries, tensors, to: url, using: write)
}

extension GGUFTensor {
    fileprivate init(
        _ weight: StreamedWeight,
        _ place: (name: String, layout: StoredLayout),
        type: WeightType
    ) {
        name = place.name
        shape = place.layout.storedShape(weight.shape)
        self.type =
            shape.count < 2 || name == "position_embd.weight"
            ? .f32 : type == .q8_0 && (shape.last ?? 0) % 32 != 0 ? .f16 : type
        forEachStrip = { body in
            guard place.layout != .plain else { return try weight.forEachStrip(body) }
            let stored = place.layout.stored(try weight.matrix(), shape: weight.shape)
            try body(UnsafeBufferPointer(start: stored.base, count: stored.count))
        }
    }
}
