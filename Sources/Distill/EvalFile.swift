import Cache
import Foundation

/// `eval.json`: what was measured, and on what.
///
/// Beside it lie `eval.examples.jsonl`, what was measured of each example, and `eval.maps.json`, pictures
/// of some: what `retort report` shows.
package struct EvalFile: Codable, Equatable {
    /// The cache's checksum, the settings, and the weights' hash of each model: the measurement is
    /// done again only when one of them changes.
    package var inputs: [String: String]
    /// The teacher first, then the models.
    package var reports: [EvalReport]
    /// SHA-256 of the files beside it, by name; nil in files of older versions.
    package var beside: [String: String]?

    /// What was measured, and on what.
    package init(inputs: [String: String], reports: [EvalReport]) {
        (self.inputs, self.reports) = (inputs, reports)
    }

    /// Nil where there is none that can be read.
    package static func read(_ url: URL) -> EvalFile? {
        guard let data = RunFiles.read(url, limit: largestBytes) else { return nil }
        return try? JSONDecoder().decode(EvalFile.self, from: data)
    }

    /// More than that is none of ours.
    private static let largestBytes = 64 << 20

    /// The examples' file and the maps' of an `eval.json` of any name.
    package static func beside(_ url: URL) -> [URL] {
        let stem = url.pathExtension == "json" ? url.deletingPathExtension() : url
        return ["examples.jsonl", "maps.json"].map { stem.appendingPathExtension($0) }
    }

    /// Whether the files beside it are there, and those that were written with it.
    package func isWhole(at url: URL) -> Bool {
        Self.beside(url).allSatisfy { file in
            beside?[file.lastPathComponent].map { hash in (try? sha256(of: file)) == hash } ?? false
        }
    }

    /// Writes all three, this one last: only then is the measurement done.
    ///
    /// - Returns: What was written, with the checksums of the files beside it.
    /// - Throws: `DistillError.file`.
    package func write(
        to url: URL,
        _ examples: [EvalExample],
        _ maps: EvalMaps
    ) throws -> EvalFile {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let lines = try examples.reduce(into: Data()) {
            $0 += try encoder.encode($1) + Data("\n".utf8)
        }
        var file = self
        file.beside = [:]
        let pictures = try encoder.encode(maps) + Data("\n".utf8)
        for (place, data) in zip(Self.beside(url), [lines, pictures]) {
            try RunFiles.write(data, to: place)
            file.beside?[place.lastPathComponent] = sha256(of: data)
        }
        try RunFiles.write(RunFiles.json(file), to: url)
        return file
    }
}
