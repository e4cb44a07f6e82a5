import Cache
import Foundation
import Tensors

extension CriterionInput {
    /// Every name that a file may have but `projectors/…`.
    static let names: [String] =
        ["student", "teacher"].flatMap { side in
            ["hidden", "head", "embedding", "input_ids", "labels", "offsets"].map {
                "\(side)/\($0)"
            }
        } + [
            "teacher/topk_ids", "teacher/topk_logprobs", "teacher/logsumexp",
            "teacher/full_logprobs", "teacher/sample_offsets", "teacher/sample_ids",
            "teacher/sample_counts", "vocabulary/student", "vocabulary/teacher",
            "vocabulary/student_eos", "vocabulary/teacher_eos", "settings/student_cap",
            "settings/teacher_cap",
        ]
    /// What results and notes lie under, and is not looked at.
    private static let ignored = ["loss", "grad", "info"]
    private static let projectorNames = CrossModelDualSpace.projectorNames

    /// Reads and checks a file.
    ///
    /// - Throws: `CacheError`: `missing`; `corrupt` for a file that cannot be read; `mismatch` naming the
    ///   array and what was expected of it.
    public init(_ url: URL) throws {
        let file = CriterionFile(file: try TensorFile(url))
        try Self.checkNames(of: file)
        path = file.file.path
        student = try Self.side("student", "d", "Vs", "n", file)
        let hasTeacher = file.file.names.contains { $0.hasPrefix("teacher/") }
        teacher = hasTeacher ? try Self.side("teacher", "D", "Vt", "m", file) : nil
        if let teacher, teacher.offsets.count != student.offsets.count {
            throw file.wrong(
                "'teacher/offsets' has \(teacher.offsets.count - 1) examples and 'student/offsets' "
                    + "\(student.offsets.count - 1)"
            )
        }
        signals = try Self.signals(of: teacher, file)
        projectors = try Self.projectors(file)
        studentVocabulary = try Self.vocabulary("student", file)
        teacherVocabulary = try Self.vocabulary("teacher", file)
    }

    // MARK: Names

    /// A mistyped name would be taken for something that is missing.
    private static func checkNames(of file: CriterionFile) throws {
        for name in file.file.names where !isKnown(name) {
            let top = name.prefix { $0 != "/" }
            guard !ignored.contains(String(top)) || top.count == name.count else { continue }
            let candidates =
                names
                + projectorNames.flatMap {
                    ["projectors/\($0)/weight", "projectors/\($0)/bias"]
                }
            throw file.wrong(
                "'\(name)' is no name of a criterion's input",
                "Did you mean '\(nearestName(to: name, among: candidates))'? \(CriterionFile.layout)"
            )
        }
    }

    private static func isKnown(_ name: String) -> Bool {
        let parts = name.split(separator: "/").map(String.init)
        guard parts.first == "projectors" else { return names.contains(name) }
        return (3...4).contains(parts.count) && projectorNames.contains(parts[1])
            && (parts.count == 3 || parts[2].allSatisfy(\.isNumber))
            && ["weight", "bias"].contains(parts.last)
    }

    // MARK: Parts

    /// - Parameters:
    ///   - width: The letter of the model's width, `rows` that of its rows of the batch.
    private static func side(
        _ name: String,
        _ width: String,
        _ vocabulary: String,
        _ rows: String,
        _ file: CriterionFile
    ) throws -> Side {
        func shape(_ part: String) -> [Int]? { file.file.shape(of: "\(name)/\(part)") }
        // The first of these says how many there are of each; the others must agree. Were there none, the
        // end of the offsets would be all that says it, and nothing could be made of so many rows.
        let count =
            shape("hidden")?.first ?? shape("labels")?.first ?? shape("topk_ids")?.first
            ?? shape("full_logprobs")?.first
            ?? shape("sample_offsets")?.first.map { max(0, $0 - 1) }
        let columns = [shape("hidden"), shape("head"), shape("embedding")].compactMap { $0 }
            .first { $0.count == 2 }?[1]
        let size = (shape("head") ?? shape("embedding"))?.first
        let hidden = try file.matrix("\(name)/hidden", [count, columns], "[\(rows), \(width)]")
        let table = "[\(vocabulary), \(width)]"
        let head = try file.matrix("\(name)/head", [size, columns], table)
        // Tied weights may be one array under two names, which is read once for each.
        let embedding = try file.matrix("\(name)/embedding", [size, columns], table)
        let limit = Self.vocabularySize(name, file) ?? Int.max
        let words = "[\(rows)]"
        guard
            let offsets = try file.offsets(
                "\(name)/offsets",
                count: nil,
                "[E + 1]",
                end: count
            )
        else {
            throw file.wrong(
                "'\(name)/offsets' is not there",
                "For one example it is [0, \(rows)]. \(CriterionFile.layout)"
            )
        }
        let inputs = try file.ids("\(name)/input_ids", [count], words, below: limit)
        let labels = try file.ids("\(name)/labels", [count], words, below: limit)
        let softCap = try file.positive("settings/\(name)_cap")
        guard offsets.last ?? 0 > 0 else { throw file.wrong("'\(name)/offsets' has no rows") }
        return Side(
            hidden: hidden,
            head: head,
            embedding: embedding,
            inputs: inputs,
            labels: labels,
            offsets: offsets,
            softCap: softCap
        )
    }

    private static func signals(of teacher: Side?, _ file: CriterionFile) throws -> Signals {
        guard let teacher else { return Signals() }
        let (m, size) = (teacher.count, teacher.head?.rows ?? teacher.embedding?.rows)
        let limit = vocabularySize("teacher", file) ?? Int.max
        var signals = Signals()
        signals.fullLogProbs = try file.logProbabilities(
            "teacher/full_logprobs",
            [m, size],
            "[m, Vt]"
        )
        signals.topKLogProbs = try file.logProbabilities(
            "teacher/topk_logprobs",
            [m, nil],
            "[m, k]"
        )
        let k = signals.topKLogProbs?.columns
        signals.topKIDs = try file.ids("teacher/topk_ids", [m, k], "[m, k]", below: limit)
        try requireTogether(["teacher/topk_ids", "teacher/topk_logprobs"], file)
        if let ids = signals.topKIDs, let k {
            let rows = (0..<m).map { ids[$0 * k..<($0 + 1) * k] }
            try requireDifferent(rows, "teacher/topk_ids", "Give each token once.", file)
        }
        signals.logSumExp = try file.matrix("teacher/logsumexp", [m], "[m]")?.values
        let drawn = ["teacher/sample_offsets", "teacher/sample_ids", "teacher/sample_counts"]
        try requireTogether(drawn, file)
        let ids = try file.ids(drawn[1], [nil], "[draws]", below: limit)
        signals.sampleIDs = ids
        let offsets = try file.offsets(drawn[0], count: nil, "[m + 1]", end: ids?.count)
        if let offsets, offsets.count - 1 != m {
            throw file.wrong(
                "'\(drawn[0])' has \(offsets.count) numbers, not one more than \(m) rows"
            )
        }
        signals.sampleOffsets = offsets
        if let ids, let offsets {
            let rows = zip(offsets, offsets.dropFirst()).map { ids[$0..<$1] }
            try requireDifferent(rows, drawn[1], "Add up the counts of equal tokens.", file)
        }
        signals.sampleCounts = try file.ids(
            drawn[2],
            [ids?.count],
            "[draws]",
            below: Int(UInt32.max)
        )
        if let index = signals.sampleCounts?.firstIndex(of: 0) {
            throw file.wrong("'\(drawn[2])' has 0 at element \(index): a token that was not drawn")
        }
        return signals
    }

    private static func requireDifferent(
        _ rows: [ArraySlice<UInt32>],
        _ name: String,
        _ remedy: String,
        _ file: CriterionFile
    ) throws {
        for (row, ids) in rows.enumerated() where Set(ids).count != ids.count {
            throw file.wrong("row \(row) of '\(name)' has an id twice", remedy)
        }
    }

    /// Tokens of a side, as its weights say, or what else has one number for each.
    private static func vocabularySize(_ name: String, _ file: CriterionFile) -> Int? {
        func shape(_ name: String) -> [Int]? { file.file.shape(of: name) }
        return (shape("\(name)/head") ?? shape("\(name)/embedding"))?.first
            ?? shape("\(name)/full_logprobs")?.last ?? shape("vocabulary/\(name)")?.first
    }

    private static func requireTogether(_ names: [String], _ file: CriterionFile) throws {
        let there = names.filter(file.has)
        guard let first = there.first, let gone = names.first(where: { !file.has($0) }) else {
            return
        }
        throw file.wrong("'\(first)' is there without '\(gone)'")
    }

    private static func projectors(_ file: CriterionFile) throws -> [String: ProjectorPart] {
        var parts: [String: ProjectorPart] = [:]
        for name in file.file.names where name.hasPrefix("projectors/") {
            let isBias = name.hasSuffix("/bias")
            guard
                let value = try file.matrix(
                    name,
                    isBias ? [nil] : [nil, nil],
                    isBias ? "[out]" : "[out, in]"
                )
            else { continue }
            parts[String(name.dropFirst("projectors/".count))] = ProjectorPart(
                shape: isBias ? [value.columns] : [value.rows, value.columns],
                value: value
            )
        }
        return parts
    }

    private static func vocabulary(
        _ name: String,
        _ file: CriterionFile
    ) throws -> Vocabulary? {
        guard file.has("vocabulary/\(name)") else {
            if file.has("vocabulary/\(name)_eos") {
                throw file.wrong(
                    "'vocabulary/\(name)_eos' is there without 'vocabulary/\(name)'"
                )
            }
            return nil
        }
        try file.check("vocabulary/\(name)", [nil], "[tokens]")
        let (count, size) = (
            file.file.shape(of: "vocabulary/\(name)")?.first ?? 0, vocabularySize(name, file) ?? 0
        )
        guard count <= size else {
            throw file.wrong(
                "'vocabulary/\(name)' has \(count) texts, and the \(name)'s weights \(size) tokens"
            )
        }
        let texts = try file.file.strings("vocabulary/\(name)").values
        return Vocabulary(
            texts: texts,
            eos: try file.id("vocabulary/\(name)_eos", below: texts.count)
        )
    }
}
