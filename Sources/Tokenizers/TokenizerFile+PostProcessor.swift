/// What is put around a text.
extension TokenizerFile {
    func postProcessor(
        _ value: JSONValue,
        _ definition: inout TokenizerDefinition,
        depth: Int
    ) throws(TokenizerError) {
        if value.isNull { return }
        let type = value["type"] ?? .null
        switch type.stringValue {
        case "ByteLevel": break
        case "RobertaProcessing", "BertProcessing":
            guard let before = value["cls"]?.arrayValue, before.count == 2,
                let after = value["sep"]?.arrayValue, after.count == 2,
                let first = before[1].integerValue, let last = after[1].integerValue
            else {
                throw malformed("post_processor", "cls and sep with their ids were expected")
            }
            definition.prefix = [first] + definition.prefix
            definition.suffix.append(last)
        case "Sequence" where depth == 0:
            for item in try list(value, "processors", place: "post_processor") {
                try postProcessor(item, &definition, depth: 1)
            }
        case "TemplateProcessing":
            try template(value, &definition)
        default:
            throw unsupported(
                "the post_processor \(name(type))",
                known: [
                    "null", "ByteLevel", "TemplateProcessing", "RobertaProcessing",
                    "BertProcessing", "Sequence",
                ]
            )
        }
    }

    private func template(
        _ value: JSONValue,
        _ definition: inout TokenizerDefinition
    ) throws(TokenizerError) {
        let place = "post_processor.single"
        var before: [Int] = []
        var after: [Int] = []
        var sequences = 0
        let items = value["single"]?.arrayValue ?? []
        guard items.count <= Self.stepLimit else {
            throw malformed(place, "more than \(Self.stepLimit) parts")
        }
        for item in items {
            if item["Sequence"] != nil {
                sequences += 1
            } else if let key = item["SpecialToken"]?["id"]?.stringValue {
                guard let ids = value["special_tokens"]?[key]?["ids"]?.arrayValue,
                    ids.count <= Self.stepLimit
                else {
                    throw malformed(
                        place,
                        "\(TokenizerError.shortened(key)) has no ids, or too many"
                    )
                }
                for id in ids {
                    guard let id = id.integerValue else {
                        throw malformed(place, "an id is not an integer")
                    }
                    if sequences == 0 { before.append(id) } else { after.append(id) }
                }
            } else {
                throw malformed(place, "Sequence or SpecialToken was expected")
            }
        }
        guard sequences == 1 else { throw unsupported("\(place) with \(sequences) sequences") }
        definition.prefix = before + definition.prefix
        definition.suffix += after
    }
}
