import Foundation
import Yams

/// A YAML file of settings, read strictly: unknown and duplicate keys are errors.
///
/// Tags mean nothing here; aliases are expanded as long as the whole stays within the node limit, so a
/// file that multiplies itself is refused.
struct ConfigurationFile {
    /// One value with the place it came from.
    indirect enum Value {
        case scalar(String, isQuoted: Bool, place: String)
        case mapping([(key: String, value: Value)], place: String)
        case sequence([Value], place: String)

        var place: String {
            switch self {
            case .scalar(_, _, let place), .mapping(_, let place), .sequence(_, let place): place
            }
        }
    }

    /// The file's path, for messages.
    let path: String
    private(set) var root: Value

    private static let maxBytes = 1 << 20
    private static let maxNodes = 20_000

    /// Reads a file and lays `key.sub=value` settings over it.
    ///
    /// - Throws: `ConfigurationError` with file and line; `Failure` (66) when there is no such file.
    init(_ path: String, overrides: [String]) throws {
        self.path = path
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Failure(
                "\(path): there is no such settings file; pipelines/ holds some to start from",
                code: Failure.Code.missing
            )
        }
        guard data.count <= Self.maxBytes, let text = String(data: data, encoding: .utf8) else {
            throw ConfigurationError(
                place: path,
                message: "not UTF-8 text of at most 1 MiB",
                remedy: ""
            )
        }
        root = try Self.parse(text, path: path)
        for override in overrides { try apply(override) }
    }

    /// Settings from `key=value` alone, for commands that need no file.
    init(overrides: [String]) throws {
        path = "--set"
        root = .mapping([], place: "--set")
        for override in overrides { try apply(override) }
    }

    private static func parse(_ text: String, path: String) throws -> Value {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            let words = "\(error)".split(separator: "\n").prefix(2).joined(separator: " ")
            throw ConfigurationError(place: path, message: "not valid YAML: \(words)", remedy: "")
        }
        guard let node else { return .mapping([], place: path) }
        var budget = maxNodes
        return try convert(node, path: path, depth: 0, budget: &budget)
    }

    private static func convert(_ node: Node, path: String, depth: Int, budget: inout Int) throws
        -> Value
    {
        let place = node.mark.map { "\(path):\($0.line)" } ?? path
        budget -= 1
        guard budget > 0, depth < 32 else {
            throw ConfigurationError(
                place: place,
                message: "too many or too deeply nested values",
                remedy: ""
            )
        }
        switch node {
        case .scalar(let scalar):
            return .scalar(scalar.string, isQuoted: scalar.style != .plain, place: place)
        case .sequence(let sequence):
            var values: [Value] = []
            for item in sequence {
                values.append(try convert(item, path: path, depth: depth + 1, budget: &budget))
            }
            return .sequence(values, place: place)
        case .mapping(let mapping):
            var entries: [(String, Value)] = []
            for (key, value) in mapping {
                guard case .scalar(let name) = key else {
                    throw ConfigurationError(
                        place: place,
                        message: "a key that is not a word",
                        remedy: ""
                    )
                }
                guard !entries.contains(where: { $0.0 == name.string }) else {
                    throw ConfigurationError(
                        place: place,
                        message: "\"\(name.string)\" is set twice",
                        remedy: ""
                    )
                }
                let keyPlace = key.mark.map { "\(path):\($0.line)" } ?? place
                let converted = try convert(value, path: path, depth: depth + 1, budget: &budget)
                entries.append((name.string, converted.moved(to: keyPlace)))
            }
            return .mapping(entries, place: place)
        case .alias:
            throw ConfigurationError(
                place: place,
                message: "an alias without an anchor before it",
                remedy: "write the value out"
            )
        }
    }

    private mutating func apply(_ override: String) throws {
        guard let equals = override.firstIndex(of: "="), equals != override.startIndex else {
            throw ConfigurationError(
                place: "--set \(override)",
                message: "not of the form key=value",
                remedy: ""
            )
        }
        let keys = override[..<equals].split(separator: ".").map(String.init)
        let value = try Self.parse(
            String(override[override.index(after: equals)...]),
            path: "--set \(override)"
        )
        root = try root.setting(keys[...], to: value, whole: override)
    }
}

extension ConfigurationFile.Value {
    fileprivate func moved(to place: String) -> Self {
        switch self {
        case .scalar(let text, let isQuoted, _):
            .scalar(text, isQuoted: isQuoted, place: place)
        case .mapping(let entries, _): .mapping(entries, place: place)
        case .sequence(let values, _): .sequence(values, place: place)
        }
    }

    fileprivate func setting(_ keys: ArraySlice<String>, to value: Self, whole: String) throws
        -> Self
    {
        guard let key = keys.first else { return value }
        guard case .mapping(var entries, let place) = self else {
            throw ConfigurationError(
                place: "--set \(whole)",
                message: "\"\(key)\" lies below a plain value",
                remedy: ""
            )
        }
        let index = entries.firstIndex { $0.key == key }
        let below = index.map { entries[$0].value } ?? .mapping([], place: "--set \(whole)")
        let changed = try below.setting(keys.dropFirst(), to: value, whole: whole)
        if let index { entries[index].value = changed } else { entries.append((key, changed)) }
        return .mapping(entries, place: place)
    }

    /// The value of a key of a mapping.
    subscript(_ key: String) -> Self? {
        guard case .mapping(let entries, _) = self else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// A mapping without some of its keys.
    func without(_ keys: [String]) -> Self {
        guard case .mapping(let entries, let place) = self else { return self }
        return .mapping(entries.filter { !keys.contains($0.key) }, place: place)
    }

    /// A mapping with the entries of another laid over it.
    func merging(_ other: Self) -> Self {
        guard case .mapping(var entries, let place) = self, case .mapping(let over, _) = other
        else { return other }
        for (key, value) in over {
            if let index = entries.firstIndex(where: { $0.key == key }) {
                entries[index].value = value
            } else {
                entries.append((key, value))
            }
        }
        return .mapping(entries, place: place)
    }

    /// A mapping with a text under a key, unless the key is there already.
    func defaulting(_ key: String, to text: String) -> Self {
        guard case .mapping(let entries, let place) = self, self[key] == nil else { return self }
        return .mapping(
            entries + [(key, .scalar(text, isQuoted: true, place: place))],
            place: place
        )
    }
}
