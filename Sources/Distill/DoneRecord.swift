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
    /// The settings that decide the numbers.
    public var settings: [String: String]
    /// The cache's checksum.
    public var cache: String

    enum CodingKeys: String, CodingKey {
        case steps, skipped, losses, settings, cache
        case heldOut = "held_out"
        case exportedStep = "exported_step"
        case weightsSHA256 = "weights_sha256"
    }

    /// The record of a run's directory; nil where the run is not done.
    public static func read(_ directory: URL) -> DoneRecord? {
        guard let data = try? Data(contentsOf: directory.appendingPathComponent("done.json"))
        else { return nil }
        return try? JSONDecoder().decode(DoneRecord.self, from: data)
    }

    /// Whether the exported student is still there, with the weights that were exported.
    func studentIsWhole(in directory: URL) -> Bool {
        let student = directory.appendingPathComponent("student")
        let others = ["config.json", "tokenizer.json"].map {
            student.appendingPathComponent($0).path
        }
        guard others.allSatisfy(FileManager.default.fileExists(atPath:)) else { return false }
        return (try? sha256(of: student.appendingPathComponent("model.safetensors")))
            == weightsSHA256
    }
}
