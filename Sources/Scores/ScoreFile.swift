import Foundation

/// What is wrong with a file of texts to score.
public struct ScoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Whether the file is not there, or not what it should be.
    public enum Kind: Sendable { case missing, badData }

    /// See `Kind`.
    public let kind: Kind
    /// The file, with the line where there is one.
    public let place: String
    /// What is wrong, and what to do.
    public let message: String, remedy: String

    /// The place, what is wrong, and what to do.
    public var description: String { "\(place): \(message). \(remedy)." }
}

/// Files of texts, one JSON object a line.
public enum ScoreFile {
    /// Reads answers: `prediction`, or `response` as `retort generate` writes it.
    ///
    /// - Throws: `ScoreError` naming file and line.
    public static func predictions(at path: String) throws -> [String] {
        let keys = ["prediction", "response"]
        return try objects(at: path).map { object, place in
            guard let text = keys.lazy.compactMap({ object[$0] as? String }).first else {
                throw bad(place, "there is no \"prediction\" text")
            }
            return text
        }
    }

    /// Reads what the answers are held against: `references`, `reference`, `output` or `response`, a text
    /// or a list of texts, as the paper's data have it.
    ///
    /// - Throws: `ScoreError` naming file and line; also where a line has no reference.
    public static func references(at path: String) throws -> [[String]] {
        try objects(at: path).map { object, place in
            guard let texts = references(of: object) else {
                throw bad(place, "there is no \"references\" list of texts")
            }
            return texts
        }
    }

    /// The references of an object; nil where it has none.
    public static func references(of object: [String: Any]) -> [String]? {
        for key in ["references", "reference", "output", "response"] {
            if let text = object[key] as? String { return [text] }
            if let texts = object[key] as? [String], !texts.isEmpty { return texts }
        }
        return nil
    }

    private static func bad(_ place: String, _ message: String) -> ScoreError {
        ScoreError(
            kind: .badData,
            place: place,
            message: message,
            remedy: "Each line is a JSON object: {\"prediction\": …} in the one file, "
                + "{\"references\": […]} in the other"
        )
    }

    private static func objects(
        at path: String
    ) throws -> [(object: [String: Any], place: String)] {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        else {
            throw ScoreError(
                kind: .missing,
                place: path,
                message: "the file cannot be read",
                remedy: "Check the path; it is relative to where you run retort"
            )
        }
        var result: [(object: [String: Any], place: String)] = []
        for (index, line) in data.split(separator: 0x0A, omittingEmptySubsequences: false)
            .enumerated()
        where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) {
            let place = "\(path):\(index + 1)"
            guard let parsed = try? JSONSerialization.jsonObject(with: Data(line)) else {
                throw bad(place, "this line is not JSON")
            }
            guard let object = parsed as? [String: Any] else {
                throw bad(place, "this line is no object")
            }
            result.append((object, place))
        }
        guard !result.isEmpty else { throw bad(path, "there is nothing in it") }
        return result
    }
}
