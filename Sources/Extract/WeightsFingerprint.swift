import Cache
import Foundation
import Models

/// What tells one model's weights from another's: see `weightsFingerprint(_:)` of a checkpoint.
///
/// - Parameter adapter: A LoRA adapter that is added to the model, if any.
/// - Throws: `ModelError` when there is no model, `CacheError` when a file cannot be read.
public func weightsFingerprint(_ url: URL, adapter: URL? = nil) throws -> String {
    try weightsFingerprint(Checkpoint(url, adapter: adapter))
}

/// The SHA-256 of a GGUF file, or over those of a directory's weights and config.json, or of a
/// split model's parts, by name; over that and an adapter's files when there is one.
///
/// - Throws: `CacheError` when a file cannot be read.
public func weightsFingerprint(_ checkpoint: Checkpoint) throws -> String {
    func parts(_ files: [URL]) throws -> [String] {
        try files.map { "\($0.lastPathComponent) \(try sha256(of: $0))" }
    }
    func joined(_ parts: [String]) -> String {
        sha256(of: Data(parts.joined(separator: "\n").utf8))
    }
    let files = checkpoint.modelFiles
    let model = files.count == 1 ? try sha256(of: files[0]) : joined(try parts(files))
    let adapter = try parts(checkpoint.adapterFiles)
    return adapter.isEmpty ? model : joined(["model \(model)"] + adapter)
}
