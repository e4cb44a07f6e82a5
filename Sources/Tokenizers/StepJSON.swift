/// The steps of a tokenizer as `tokenizer.json` has them, for writing and for the fingerprint.
extension NormalizerStep {
    var json: JSONValue {
        switch self {
        case .nfc: ["type": "NFC"]
        case .nfd: ["type": "NFD"]
        case .nfkc: ["type": "NFKC"]
        case .nfkd: ["type": "NFKD"]
        case .lowercase: ["type": "Lowercase"]
        case .stripAccents: ["type": "StripAccents"]
        case .nmt: ["type": "Nmt"]
        case .strip(let left, let right):
            ["type": "Strip", "strip_left": .bool(left), "strip_right": .bool(right)]
        case .replace(let pattern, let content):
            ["type": "Replace", "pattern": pattern.json, "content": .string(content)]
        case .prepend(let text): ["type": "Prepend", "prepend": .string(text)]
        case .precompiled(let map):
            ["type": "Precompiled", "precompiled_charsmap": .string(Base64.encode(map.blob))]
        }
    }
}

extension TokenizerDefinition.Normalizer {
    var json: JSONValue {
        switch steps.count {
        case 0: .null
        case 1: steps[0].json
        default: ["type": "Sequence", "normalizers": .array(steps.map(\.json))]
        }
    }
}

extension TextPattern {
    var json: JSONValue {
        switch self {
        case .literal(let text): ["String": .string(text)]
        case .regex(let pattern): ["Regex": .string(pattern.source)]
        }
    }
}

extension PreTokenizerStep {
    var json: JSONValue {
        switch self {
        case .split(let pattern, let behavior, let invert):
            [
                "type": "Split", "pattern": pattern.json, "behavior": .string(behavior.rawValue),
                "invert": .bool(invert),
            ]
        case .digits(let individual, _):
            ["type": "Digits", "individual_digits": .bool(individual)]
        case .byteLevel(let space, let pattern):
            [
                "type": "ByteLevel", "add_prefix_space": .bool(space), "trim_offsets": true,
                "use_regex": .bool(pattern != nil),
            ]
        case .metaspace(let mark, let scheme, let split):
            [
                "type": "Metaspace", "replacement": .string(String(mark)),
                "prepend_scheme": .string(scheme.rawValue), "split": .bool(split),
            ]
        case .whitespace: ["type": "Whitespace"]
        case .whitespaceSplit: ["type": "WhitespaceSplit"]
        case .punctuation(let behavior):
            ["type": "Punctuation", "behavior": .string(behavior.rawValue)]
        }
    }
}

extension DecoderStep {
    var json: JSONValue {
        switch self {
        case .byteLevel:
            [
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                "use_regex": true,
            ]
        case .byteFallback: ["type": "ByteFallback"]
        case .fuse: ["type": "Fuse"]
        case .strip(let scalar, let start, let stop):
            [
                "type": "Strip", "content": .string(String(scalar)), "start": .integer(start),
                "stop": .integer(stop),
            ]
        case .replace(let pattern, let content):
            ["type": "Replace", "pattern": pattern.json, "content": .string(content)]
        case .metaspace(let mark, let scheme):
            [
                "type": "Metaspace", "replacement": .string(String(mark)),
                "prepend_scheme": .string(scheme.rawValue), "split": true,
            ]
        }
    }
}
