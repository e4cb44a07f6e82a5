import Foundation

/// Writes config.json: like `JSONSerialization`, but a Double keeps its decimal point.
///
/// transformers 5 refuses 5 where it wants 5.0.
enum ConfigText {
    /// The text of an object, its keys in the order of the alphabet.
    static func data(_ object: [String: Any]) throws -> Data {
        Data((try text(object, indent: "") + "\n").utf8)
    }

    private static func text(_ value: Any, indent: String) throws -> String {
        let inner = indent + "  "
        switch value {
        case let value as Bool: return value ? "true" : "false"
        case let value as Int: return "\(value)"
        case let value as Double: return "\(value)"
        case let value as String: return try quoted(value)
        case let values as [Any]:
            return "[" + (try values.map { try text($0, indent: inner) }).joined(separator: ", ")
                + "]"
        case let object as [String: Any]:
            let lines = try object.sorted { $0.key < $1.key }.map {
                "\(inner)\(try quoted($0.key)): \(try text($0.value, indent: inner))"
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        default: return "null"
        }
    }

    private static func quoted(_ string: String) throws -> String {
        String(decoding: try JSONEncoder().encode(string), as: UTF8.self)
    }
}
