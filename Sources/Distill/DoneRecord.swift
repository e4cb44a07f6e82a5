import Cache
import Foundation

/// `done.json`: what a finished run came to.
public struct DoneRecord: Codable, Sendable, Equatable {
    /// Steps done, and those of them that were skipped.
    public var steps: Int
    /// The step whose weights were exported; nil in records of older versions, for the last.
    public var exportedStep: Int?
    /// See `steps`.
    public var skipped: Int
    /// Means of the last step.
    public var losses: [String: Double]
    /// Means over the held-out split, of the exported student.
    public var heldOut: [String: Double]?
    /// Of `student/model.safetensors`.
    public var weightsSHA256: String
    /// Of the files beside `student/`, by name; nil in records of older versions.
    public var beside: [String: String]?
    /// The settings that decide the numbers.
    public var settings: [String: String]
    /// The cache's checksum.
    public var cache: String

    static let file = "done.json"

    enum CodingKeys: String, CodingKey {
        case steps, skipped, losses, settings, cache, beside
        case heldOut = "held_out"
        case exportedStep = "exported_step"
        case weightsSHA256 = "weights_sha256"
    }

    /// The record of a run's directory; nil where the run is not done.
    public static func read(_ directory: URL) -> DoneRecord? {
        let file = directory.appendingPathComponent(file)
        guard let data = RunFiles.read(file, limit: 1 << 24) else { return nil }
        return try? JSONDecoder().decode(DoneRecord.self, from: data)
    }

    /// Whether all that was exported is still there, as it was exported.
    func isWhole(in directory: URL) -> Bool {
        let student = directory.appendingPathComponent("student")
        let others = ["config.json", "tokenizer.json"].map {
            student.appendingPathComponent($0).path
        }
        guard others.allSatisfy(FileManager.default.fileExists(atPath:)) else { return false }
        var files = beside ?? [:]
        files["student/model.safetensors"] = weightsSHA256
        return files.allSatisfy { name, hash in
            (try? sha256(of: directory.appendingPathComponent(name))) == hash
        }
    }

    /// The hashes of what a run leaves beside its student: projectors, and low-rank factors as PEFT's.
    static func hashes(in directory: URL) throws -> [String: String] {
        let adapter = Trainer.adapterDirectory
        var hashes: [String: String] = [:]
        for name in [
            TrainingCheckpoint.projectorFile, "\(adapter)/adapter_config.json",
            "\(adapter)/adapter_model.safetensors",
        ] {
            let url = directory.appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: url.path) else { continue }
            hashes[name] = try sha256(of: url)
        }
        return hashes
    }
}
