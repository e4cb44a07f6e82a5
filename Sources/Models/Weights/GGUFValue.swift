/// A value of a GGUF file's metadata.
public enum GGUFValue: Sendable, Equatable {
    /// Any integer type that fits.
    case int(Int64)
    /// An unsigned 64-bit integer above `Int64.max`.
    case uint(UInt64)
    /// f32 or f64.
    case float(Double)
    /// True or false.
    case bool(Bool)
    /// Text; bytes that are not UTF-8 have become U+FFFD.
    case string(String)
    /// An array of integers.
    case ints([Int64])
    /// An array of f32 or f64.
    case floats([Double])
    /// An array of truth values.
    case bools([Bool])
    /// An array of text.
    case strings([String])
    /// An array of arrays, or of integers of which some are above `Int64.max`.
    case array([GGUFValue])

    /// The kind, in words for messages: "a string", "an array of 3 integers".
    public var kind: String {
        switch self {
        case .int, .uint: "an integer"
        case .float: "a float"
        case .bool: "a truth value"
        case .string: "a string"
        case .ints(let values): "an array of \(values.count) integers"
        case .floats(let values): "an array of \(values.count) floats"
        case .bools(let values): "an array of \(values.count) truth values"
        case .strings(let values): "an array of \(values.count) strings"
        case .array(let values): "an array of \(values.count) values"
        }
    }
}

extension GGUFFile {
    /// A string of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func string(_ key: String) throws -> String {
        try value(key, "a string") { if case .string(let text) = $0 { text } else { nil } }
    }

    /// An integer of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func int(_ key: String) throws -> Int {
        try value(key, "an integer") { if case .int(let number) = $0 { Int(number) } else { nil } }
    }

    /// A float of the metadata; an integer is taken too.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func float(_ key: String) throws -> Double {
        try value(key, "a float") {
            switch $0 {
            case .float(let number): number
            case .int(let number): Double(number)
            default: nil
            }
        }
    }

    /// A truth value of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func bool(_ key: String) throws -> Bool {
        try value(key, "a truth value") { if case .bool(let flag) = $0 { flag } else { nil } }
    }

    /// An array of strings of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func strings(_ key: String) throws -> [String] {
        try value(key, "an array of strings") {
            if case .strings(let texts) = $0 { texts } else { nil }
        }
    }

    /// An array of integers of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func ints(_ key: String) throws -> [Int] {
        try value(key, "an array of integers") {
            if case .ints(let numbers) = $0 { numbers.map { Int($0) } } else { nil }
        }
    }

    /// An array of floats of the metadata.
    ///
    /// - Throws: `ModelError`: `missing`, or `mismatch` naming the key and both types.
    public func floats(_ key: String) throws -> [Float] {
        try value(key, "an array of floats") {
            if case .floats(let numbers) = $0 { numbers.map { Float($0) } } else { nil }
        }
    }

    private func value<Value>(
        _ key: String,
        _ expected: String,
        _ convert: (GGUFValue) -> Value?
    ) throws -> Value {
        guard let found = metadata[key] else {
            throw ModelError(
                .missing,
                path: path,
                "no metadata key \"\(key)\"; expected \(expected)",
                remedy: "Convert the model again with a current convert_hf_to_gguf.py."
            )
        }
        guard let value = convert(found) else {
            throw ModelError(
                .mismatch,
                path: path,
                "metadata key \"\(key)\": expected \(expected), found \(found.kind)",
                remedy: "Convert the model again with a current convert_hf_to_gguf.py."
            )
        }
        return value
    }
}
