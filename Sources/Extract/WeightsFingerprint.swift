import Cache
import Foundation

/// The SHA-256 of a GGUF file, or over those of a directory's weights and config.json by name.
///
/// - Throws: `CacheError` when a file cannot be read.
public func weightsFingerprint(_ url: URL) throws -> String {
    var isDirectory: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
    guard isDirectory.boolValue else { return try sha256(of: url) }
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path)
        .filter { $0.hasSuffix(".safetensors") || $0 == "config.json" }.sorted()
    let parts = try names.map { "\($0) \(try sha256(of: url.appendingPathComponent($0)))" }
    return sha256(of: Data(parts.joined(separator: "\n").utf8))
}
