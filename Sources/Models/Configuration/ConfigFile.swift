import Foundation

/// The keys and values of a config.json, or of an object inside one.
///
/// A key whose value is null counts as absent, except to `has`.
struct ConfigFile {
    let path: String
    private let values: [String: ConfigValue]
    /// Where this object is in the file, for messages: empty or "text_config.".
    private let prefix: String

    private static let byteLimit = 16 << 20

    /// - Throws: `ModelError` when there is no such file or it is not a JSON object.
    init(_ url: URL) throws {
        path = url.path
        prefix = ""
        let size = try? url.resolvingSymlinksInPath().resourceValues(forKeys: [.fileSizeKey])
            .fileSize
        if let size, size > Self.byteLimit {
            throw ModelError(
                .corrupt,
                path: path,
                "config.json of \(size) bytes is too large",
                remedy: "Fetch the file again"
            )
        }
        guard let data = try? Data(contentsOf: url) else {
            throw ModelError(
                .missing,
                path: path,
                "there is no config.json to read",
                remedy: "Give a directory as `save_pretrained` writes it, or a GGUF file"
            )
        }
        do {
            values = try JSONDecoder().decode([String: ConfigValue].self, from: data)
        } catch {
            throw ModelError(
                .corrupt,
                path: path,
                "config.json does not parse: \(error)",
                remedy: "Fetch the file again"
            )
        }
    }

    private init(_ path: String, _ values: [String: ConfigValue], _ prefix: String) {
        (self.path, self.values, self.prefix) = (path, values, prefix)
    }

    /// Whether there is no key.
    var isEmpty: Bool { values.isEmpty }

    /// Whether the key is there, be it null.
    func has(_ key: String) -> Bool { values[key] != nil }

    func number(_ key: String) throws -> Double? {
        switch values[key] {
        case nil, .null: nil
        case .number(let value): value
        default: throw wrong(key, "a number")
        }
    }

    func float(_ key: String) throws -> Float? { try number(key).map { Float($0) } }

    func int(_ key: String) throws -> Int? {
        guard let number = try number(key) else { return nil }
        guard let value = Int(exactly: number) else { throw wrong(key, "a whole number") }
        return value
    }

    func needInt(_ key: String) throws -> Int {
        guard let value = try int(key) else {
            throw ModelError(
                .corrupt,
                path: path,
                "key \"\(prefix)\(key)\" is missing",
                remedy: "Fetch config.json again"
            )
        }
        return value
    }

    func bool(_ key: String) throws -> Bool? {
        switch values[key] {
        case nil, .null: nil
        case .bool(let value): value
        default: throw wrong(key, "true or false")
        }
    }

    func string(_ key: String) throws -> String? {
        switch values[key] {
        case nil, .null: nil
        case .string(let value): value
        default: throw wrong(key, "a string")
        }
    }

    func object(_ key: String) throws -> ConfigFile? {
        switch values[key] {
        case nil, .null: nil
        case .object(let value): ConfigFile(path, value, "\(prefix)\(key).")
        default: throw wrong(key, "an object")
        }
    }

    func strings(_ key: String) throws -> [String]? {
        try list(key, "strings") { if case .string(let value) = $0 { value } else { nil } }
    }

    func floats(_ key: String) throws -> [Float]? {
        try list(key, "numbers") { if case .number(let value) = $0 { Float(value) } else { nil } }
    }

    /// A token id, or the first of a list of them.
    func token(_ key: String) throws -> Int? {
        if case .list(let values) = values[key] {
            guard case .number(let first) = values.first else { return nil }
            return Int(exactly: first)
        }
        return try int(key)
    }

    private func list<Element>(
        _ key: String,
        _ what: String,
        _ element: (ConfigValue) -> Element?
    ) throws -> [Element]? {
        switch values[key] {
        case nil, .null: return nil
        case .list(let items):
            let elements = items.compactMap(element)
            guard elements.count == items.count else { throw wrong(key, "a list of \(what)") }
            return elements
        default: throw wrong(key, "a list of \(what)")
        }
    }

    private func wrong(_ key: String, _ expected: String) -> ModelError {
        ModelError(
            .corrupt,
            path: path,
            "key \"\(prefix)\(key)\" is not \(expected)",
            remedy: "Fetch config.json again"
        )
    }

    /// Refuses a value that is not among those whose arithmetic Retort has.
    func refuse(_ key: String, _ value: String, unless known: [String]) throws {
        guard !known.contains(value) else { return }
        throw ModelError(
            .unsupported,
            path: path,
            "\"\(prefix)\(key)\" is \(value)",
            remedy: "Retort computes \(known.joined(separator: " or ")) only"
        )
    }

    /// Refuses a switch that is not at the given value; an absent one is.
    func refuse(_ key: String, unless expected: Bool) throws {
        try refuse(key, "\(try bool(key) ?? expected)", unless: ["\(expected)"])
    }
}

/// One value of config.json.
private enum ConfigValue: Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case list([ConfigValue])
    case object([String: ConfigValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([ConfigValue].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: ConfigValue].self))
        }
    }
}
