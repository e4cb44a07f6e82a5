import Foundation
import Tensors

/// Writes a model's low-rank factors as a directory that PEFT loads: adapter_config.json and
/// adapter_model.safetensors.
///
/// - Parameters:
///   - base: The name or path of the base model, for `base_model_name_or_path`.
///   - directory: Made if it is not there; files of those names are replaced.
/// - Throws: `ModelError` when a file cannot be written.
public func exportAdapter(
    _ model: TransformerModel,
    _ options: LoraOptions,
    base: String,
    to directory: URL
) throws {
    let factors = model.trainedParameters
    precondition(factors.first?.name.hasPrefix(LoraAdapter.tensorPrefix) ?? false, "no factors")
    try ExportFiles.makeDirectory(directory)
    try SafetensorsWriter.write(
        factors.map {
            ($0.name, $0.shape, UnsafeBufferPointer(start: $0.value.base, count: $0.value.count))
        },
        type: .f32,
        metadata: ["format": "pt"],
        to: directory.appendingPathComponent(LoraAdapter.weightsName)
    )
    let config: [String: Any] = [
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base,
        "r": options.rank, "lora_alpha": options.alpha.decimal,
        "lora_dropout": options.dropout.decimal, "target_modules": model.targets(of: options),
        "fan_in_fan_out": model.configuration.modelType == "gpt2", "bias": "none",
        "inference_mode": true, "init_lora_weights": true, "use_rslora": false,
    ]
    try ExportFiles.write(config, as: LoraSettings.fileName, in: directory)
}
