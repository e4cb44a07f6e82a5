import Foundation
import Tensors

extension ConfigurationFile.Value {
    /// The value as settings of a type.
    ///
    /// - Parameters:
    ///   - keys: Every key that the type knows.
    ///   - section: Where in the file, such as `extract`, for messages.
    /// - Throws: `ConfigurationError` for an unknown key (with the nearest known one), a missing one,
    ///   or a value of the wrong kind.
    func decode<T: Decodable>(_ type: T.Type, keys: [String], section: String) throws -> T {
        guard case .mapping(let entries, let place) = self else {
            throw ConfigurationError(
                place: self.place,
                message: "\"\(section)\" is not a list of settings",
                remedy: ""
            )
        }
        for (key, value) in entries where !keys.contains(key) {
            let near = ConfigurationError.nearest(key, among: keys)
            throw ConfigurationError(
                place: value.place,
                message: "unknown key \"\(section).\(key)\"",
                remedy: Self.hint(key, section) ?? near.map { "did you mean \"\($0)\"?" }
                    ?? "known keys: \(keys.sorted().joined(separator: ", "))"
            )
        }
        do {
            let data = try JSONSerialization.data(withJSONObject: try json())
            return try JSONDecoder().decode(type, from: data)
        } catch let error as DecodingError {
            if case .dataCorrupted = error, let misfit = misfit(type) {
                throw ConfigurationError(
                    place: misfit.place,
                    message:
                        "\"\(section).\(misfit.key)\" is \(misfit.text): not a whole number in range",
                    remedy: ""
                )
            }
            throw describe(error, section: section, place: place)
        }
    }

    private func describe(_ error: DecodingError, section: String, place: String)
        -> ConfigurationError
    {
        switch error {
        case .keyNotFound(let key, _):
            return ConfigurationError(
                place: place,
                message: "\"\(section).\(key.stringValue)\" is missing",
                remedy: "add it, or give it with --set"
            )
        case .typeMismatch(let expected, let context):
            return wrongKind(context.codingPath, section, "expected \(Self.words(expected))")
        case .valueNotFound(_, let context):
            return wrongKind(context.codingPath, section, "it has no value")
        case .dataCorrupted(let context):
            return wrongKind(
                context.codingPath,
                section,
                context.debugDescription.contains("\(ComputeType.self)")
                    ? "it is one of \(ComputeType.allCases.map(\.rawValue).joined(separator: ", "))"
                    : context.debugDescription
            )
        @unknown default:
            return ConfigurationError(place: place, message: "\(error)", remedy: "")
        }
    }

    /// The setting whose number does not fit its kind, as 1.5 does not fit a count: Foundation says that
    /// there is one but not which, so each is tried with a number that fits everything.
    private func misfit<T: Decodable>(_ type: T.Type) -> (key: String, text: String, place: String)?
    {
        guard case .mapping(let entries, _) = self else { return nil }
        for (key, value) in entries {
            guard case .scalar(let text, false, let place) = value, Self.number(text) != nil
            else {
                continue
            }
            let one = Self.mapping(
                [(key, .scalar("1", isQuoted: false, place: place))],
                place: place
            )
            if let data = try? JSONSerialization.data(withJSONObject: merging(one).json()),
                (try? JSONDecoder().decode(type, from: data)) != nil
            {
                return (key, text, place)
            }
        }
        return nil
    }

    private func wrongKind(_ path: [any CodingKey], _ section: String, _ words: String)
        -> ConfigurationError
    {
        var value = self
        for key in path {
            if let index = key.intValue, case .sequence(let values, _) = value,
                values.indices.contains(index)
            {
                value = values[index]
            } else if let below = value[key.stringValue] {
                value = below
            }
        }
        var shown = ""
        var remedy = ""
        if case .scalar(let text, let isQuoted, _) = value {
            shown = " is \"\(text)\""
            if isQuoted, Self.number(text) != nil { remedy = "remove the quotes" }
        }
        let name = ([section] + path.map(\.stringValue)).joined(separator: ".")
        return ConfigurationError(
            place: value.place,
            message: "\"\(name)\"\(shown): \(words)",
            remedy: remedy
        )
    }

    private static func words(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "text (quote it)"
        case is Bool.Type: "true or false"
        case is Int.Type, is UInt64.Type: "a whole number"
        case is Double.Type, is Float.Type: "a number"
        default:
            "\(type)".hasPrefix("Array")
                ? "a list, such as [one, two]" : "settings of their own, such as {key: value}"
        }
    }

    /// What helps with keys that belong elsewhere.
    private static func hint(_ key: String, _ section: String) -> String? {
        switch key {
        case section: "leave out \"\(key).\": these are its settings"
        case "runs": "several runs are a pipeline's: `retort run FILE` trains them"
        default: nil
        }
    }

    /// As JSON objects, with plain scalars taken as YAML 1.2 does: no octal, no times, no dates.
    private func json() throws -> Any {
        switch self {
        case .mapping(let entries, _):
            var object: [String: Any] = [:]
            for (key, value) in entries { object[key] = try value.json() }
            return object
        case .sequence(let values, _):
            return try values.map { try $0.json() }
        case .scalar(let text, let isQuoted, _):
            if isQuoted { return text }
            switch text {
            case "true", "True": return true
            case "false", "False": return false
            case "null", "~", "": return NSNull()
            default: return Self.number(text) ?? text
            }
        }
    }

    private static func number(_ text: String) -> Any? {
        let plain = text.replacingOccurrences(of: "_", with: "")
        guard let first = plain.utf8.first,
            plain.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) })
        else { return nil }
        guard "0123456789+-.".utf8.contains(first) else { return nil }
        if let whole = Int(plain) { return whole }
        guard let value = Double(plain), value.isFinite else { return nil }
        return value
    }
}
