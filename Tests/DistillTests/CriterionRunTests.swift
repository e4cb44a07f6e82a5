import Cache
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Distill

/// The goldens as files that `retort criterion run` reads.
@Suite("Criteria on files")
struct CriterionRunTests {
    /// An input as people write it, less or other arrays.
    private func input(
        _ golden: Golden,
        without: Set<String> = [],
        changing: [String: [Int]] = [:],
        shapes: [String: [Int]] = [:],
        in folder: URL
    ) throws -> URL {
        let names = golden.world.names("").filter { !without.contains($0) }.sorted()
        let caps = ["student_cap", "teacher_cap"].filter { golden.settings[$0] != nil }
        let url = folder.appendingPathComponent("\(UUID().uuidString).h5")
        let file = try ResultFile(
            url,
            try names.map { name in
                let isInteger = golden.world.isInteger(name)
                let shape = try golden.world.shape(name)
                return .init(
                    name,
                    isInteger ? .i64 : .f32,
                    shapes[name] ?? changing[name].map { [$0.count] } ?? shape
                )
            } + caps.map { .init("settings/\($0)", .f32, [1]) }
        )
        for name in names {
            if golden.world.isInteger(name) {
                let values = try changing[name] ?? golden.world.integers(name)
                try values.map { Int64($0) }.withUnsafeBytes { try file.append(name, $0) }
            } else {
                let values = try golden.world.numbers(name).map { Float($0) }
                try values.withUnsafeBytes { try file.append(name, $0) }
            }
        }
        for cap in caps {
            let value = try required(golden.settings[cap].flatMap(Float.init))
            try [value].withUnsafeBytes { try file.append("settings/\(cap)", $0) }
        }
        try file.finish()
        return url
    }

    /// What a file of `ResultFile`, which has no texts, cannot say.
    private func read(_ url: URL, _ golden: Golden) throws -> CriterionInput {
        struct Vocabulary: Decodable {
            let student: [String], teacher: [String]
        }
        var input = try CriterionInput(url)
        guard let texts = golden.world.metadata["vocabulary"] else { return input }
        let found = try JSONDecoder().decode(Vocabulary.self, from: Data(texts.utf8))
        let known = try required(golden.texts())
        input.studentVocabulary = .init(texts: found.student, eos: known.student.endOfSequence)
        input.teacherVocabulary = .init(texts: found.teacher, eos: known.teacher.endOfSequence)
        return input
    }

    @Test(
        "losses and gradients in the output are the golden ones",
        arguments: CriterionGoldenTests.criteria
    )
    func goldens(criterion: String) throws {
        // One batch of each signal and world, the first settings that it comes with.
        var seen: Set<String> = []
        for golden in Golden.all where golden.criterion == criterion {
            let key =
                "\(golden.settings["teacher_signal"] ?? "") \(golden.name.split(separator: "-")[1])"
            if seen.insert(key).inserted { try compare(golden) }
        }
        #expect(!seen.isEmpty)
    }

    private func compare(_ golden: Golden) throws {
        try withFolder { folder in
            let result = try CriterionRun.evaluate(
                golden.criterion,
                settings: try golden.criterionSettings(),
                on: try read(try input(golden, in: folder), golden)
            )
            let url = folder.appendingPathComponent("out.h5")
            try result.write(to: url)
            let out = try TensorFile(url)
            for part in golden.known("loss") {
                let want = try required(golden.numbers("loss/\(part)").first)
                let got = try out.floats("loss/\(part)")
                #expect(got.shape.isEmpty)
                let isClose = abs(Double(got.values[0]) - want) < 1e-5 * max(1e-2, abs(want))
                #expect(isClose, "\(golden): \(part)")
            }
            for array in golden.known("grad") {
                let want = try golden.numbers("grad/\(array)")
                let got = try out.floats("grad/\(array)")
                if golden.world.has(array) {
                    #expect(try got.shape == golden.world.shape(array), "\(golden): \(array)")
                }
                let norm = want.reduce(0) { $0 + $1 * $1 }.squareRoot()
                let error = zip(got.values, want).reduce(0) { $0 + pow(Double($1.0) - $1.1, 2) }
                #expect(error.squareRoot() <= 1e-4 * max(norm, 1e-2), "\(golden): \(array)")
            }
        }
    }

    @Test("what is missing, misshapen or out of range is named")
    func mistakes() throws {
        try withFolder { folder in
            let golden = try Golden.named("dskd_cma-cross-forward_kl")
            let n = try golden.world.integers("student/labels").count
            func message(
                _ criterion: String = "dskd_cma",
                without: Set<String> = [],
                changing: [String: [Int]] = [:],
                shapes: [String: [Int]] = [:]
            ) throws -> String {
                let url = try input(
                    golden,
                    without: without,
                    changing: changing,
                    shapes: shapes,
                    in: folder
                )
                let error = try #require(throws: CacheError.self) {
                    _ = try CriterionRun.evaluate(
                        criterion,
                        settings: CriterionSettings(),
                        on: try CriterionInput(url)
                    )
                }
                #expect(error.path == url.path && error.kind == .mismatch)
                return error.description
            }
            for name in [
                "student/hidden", "student/head", "student/embedding", "student/labels",
                "student/input_ids", "teacher/hidden", "teacher/head", "teacher/embedding",
                "teacher/labels", "teacher/input_ids", "projectors/t2s/weight",
                "projectors/query/bias",
            ] {
                let words = try message(without: [name])
                #expect(words.contains("dskd_cma needs '\(name)'"), "\(words)")
            }
            #expect(
                try message(without: ["teacher/offsets"]).contains("'teacher/offsets' is not there")
            )
            let labels = [Int](repeating: 0, count: n + 1)
            let shape = try message(changing: ["student/labels": labels])
            #expect(shape.contains("'student/labels' has shape [\(n + 1)], not [n] = [\(n)]"))
            let ignored = try message(changing: ["student/labels": [-100] + labels.dropFirst(2)])
            #expect(ignored.contains("has -100 at element 0") && ignored.contains("supervised"))
            let beyond = try message(changing: [
                "student/input_ids": [1 << 40] + labels.dropFirst(2)
            ])
            #expect(beyond.contains("has \(1 << 40) at element 0"))
            for (offsets, words) in [
                ([1, n], "does not start with 0"), ([0, n + 1], "ends with \(n + 1)"),
                ([0, n, n - 1, n], "falls from \(n) to \(n - 1)"), ([0], "does not start with 0"),
                ([0, n], "has"),
            ] {
                let found = try message(changing: ["student/offsets": offsets])
                #expect(found.contains(words) && found.contains("student/offsets"), "\(found)")
            }
            let flat = try golden.world.matrix("student/hidden").count
            let rank = try message(shapes: ["student/hidden": [flat]])
            #expect(rank.contains("'student/hidden' has shape [\(flat)]"), "\(rank)")
            let weight = try golden.world.matrix("projectors/t2s/weight")
            let turned = try message(
                shapes: ["projectors/t2s/weight": [weight.columns, weight.rows]]
            )
            #expect(
                turned.contains(
                    "'projectors/t2s/weight' has shape [\(weight.columns), \(weight.rows)], not "
                        + "[\(weight.rows), \(weight.columns)]"
                )
            )
        }
    }

    /// A batch of one row, and other arrays with it.
    private func small(_ more: [(ResultFile.Layout, [Double])], in folder: URL) throws -> URL {
        let url = folder.appendingPathComponent("\(UUID().uuidString).h5")
        let plain: [(ResultFile.Layout, [Double])] = [
            (.init("student/hidden", .f32, [1, 2]), [1, 2]),
            (.init("student/head", .f32, [3, 2]), [1, 2, 3, 4, 5, 6]),
            (.init("student/labels", .i64, [1]), [2]),
            (.init("student/offsets", .i64, [2]), [0, 1]),
            (.init("teacher/offsets", .i64, [2]), [0, 1]),
            (.init("teacher/head", .f32, [4, 2]), [1, 2, 3, 4, 5, 6, 7, 8]),
        ].filter { array in !more.contains { $0.0.name == array.0.name } }
        let file = try ResultFile(url, (plain + more).map(\.0))
        for (layout, values) in plain + more {
            switch layout.type {
            case .f32:
                try values.map { Float($0) }.withUnsafeBytes { try file.append(layout.name, $0) }
            case .f64: try values.withUnsafeBytes { try file.append(layout.name, $0) }
            case .i64:
                try values.map { Int64($0) }.withUnsafeBytes { try file.append(layout.name, $0) }
            }
        }
        try file.finish()
        return url
    }

    @Test("the teacher's signals are read, and held against each other")
    func signals() throws {
        try withFolder { folder in
            let ids = (ResultFile.Layout("teacher/topk_ids", .i64, [1, 2]), [3.0, 0])
            let logs = (ResultFile.Layout("teacher/topk_logprobs", .f32, [1, 2]), [-0.5, -1.5])
            let full = (
                ResultFile.Layout("teacher/full_logprobs", .f64, [1, 4]),
                [-1, -1, -Double.infinity, -1]
            )
            let drawn: [(ResultFile.Layout, [Double])] = [
                (.init("teacher/sample_offsets", .i64, [2]), [0, 2]),
                (.init("teacher/sample_ids", .i64, [2]), [3, 1]),
                (.init("teacher/sample_counts", .i64, [2]), [5, 1]),
            ]
            let caps = [(ResultFile.Layout("settings/student_cap", .f64, []), [30.0])]
            let sum = (ResultFile.Layout("teacher/logsumexp", .f32, [1]), [2.5])
            let url = try small([ids, logs, full, sum] + drawn + caps, in: folder)
            let input = try CriterionInput(url)
            #expect(input.signals.topKIDs == [3, 0] && input.signals.logSumExp == [2.5])
            #expect(input.signals.topKLogProbs?.values == [-0.5, -1.5])
            #expect(input.signals.fullLogProbs?.values == [-1, -1, -.infinity, -1])
            #expect(input.signals.sampleOffsets == [0, 2] && input.signals.sampleIDs == [3, 1])
            #expect(input.signals.sampleCounts == [5, 1] && input.student.softCap == 30)
            func message(_ more: [(ResultFile.Layout, [Double])]) throws -> String {
                let url = try small(more, in: folder)
                let error = try #require(throws: CacheError.self) { try CriterionInput(url) }
                return error.description
            }
            #expect(try message([ids]).contains("'teacher/topk_ids' is there without"))
            #expect(try message([drawn[0]]).contains("without 'teacher/sample_ids'"))
            #expect(try message([(ids.0, [3, 3]), logs]).contains("row 0 of 'teacher/topk_ids'"))
            #expect(try message([(ids.0, [3, 4]), logs]).contains("not an id from 0 to 3"))
            #expect(try message([ids, (logs.0, [-0.5, 2])]).contains("[1] is 2.0"))
            #expect(try message([ids, (logs.0, [-0.5, .nan])]).contains("no log-probability"))
            let zero = try message([drawn[0], drawn[1], (drawn[2].0, [0, 1])])
            #expect(zero.contains("a token that was not drawn"))
            let nan = [(ResultFile.Layout("student/hidden", .f32, [1, 2]), [1.0, .nan])]
            #expect(try message(nan).contains("'student/hidden'[1] is nan"))
            let huge = [(ResultFile.Layout("student/hidden", .f64, [1, 2]), [1.0, 1e300])]
            #expect(try message(huge).contains("'student/hidden'[1] is inf"))
            #expect(try message([(caps[0].0, [0])]).contains("'settings/student_cap' is 0.0"))
            let odd = [(ResultFile.Layout("teacher/topk_id", .i64, [1]), [0.0])]
            #expect(try message(odd).contains("Did you mean 'teacher/topk_ids'?"))
            let step = [(ResultFile.Layout("projectors/t2s/0/wait", .f32, [1, 1]), [0.0])]
            #expect(try message(step).contains("'projectors/t2s/0/wait' is no name"))
            let eos = [(ResultFile.Layout("vocabulary/student_eos", .i64, []), [0.0])]
            #expect(try message(eos).contains("without 'vocabulary/student'"))
            let notes = [
                (ResultFile.Layout("loss/total", .f64, []), [1.0]),
                (ResultFile.Layout("projectors/t2s/2/weight", .f32, [2, 1]), [1.0, 2]),
            ]
            let noted = try CriterionInput(try small(notes, in: folder))
            #expect(noted.projectors["t2s/2/weight"]?.shape == [2, 1])
        }
    }

    @Test("numbers that a small file makes up cost no memory and no crash")
    func madeUp() throws {
        try withFolder { folder in
            func message(
                _ criterion: String,
                _ signal: TeacherSignal,
                _ divergence: Divergence = .forwardKL,
                with more: [(ResultFile.Layout, [Double])]
            ) throws -> String {
                var settings = CriterionSettings(temperature: 1, divergence: divergence)
                settings.teacherSignal = signal
                let url = try small(more, in: folder)
                let error = try #require(throws: CacheError.self) {
                    var input = try CriterionInput(url)
                    if criterion == "min_edit" {
                        input.studentVocabulary = .init(texts: ["a", "b", "c"], eos: nil)
                        input.teacherVocabulary = .init(texts: ["a", "b", "c"], eos: nil)
                        input.teacher?.head = nil
                    }
                    _ = try CriterionRun.evaluate(criterion, settings: settings, on: input)
                }
                #expect(error.path == url.path, "\(error)")
                return error.description
            }
            // The end of the offsets is all that says how many rows there are.
            for end in [Double(1 << 53), 9_223_372_036_854_774_784] {
                let offsets = [(ResultFile.Layout("teacher/offsets", .i64, [2]), [0, end])]
                #expect(try message("kd", .topK, with: offsets).contains("'teacher/topk_logprobs'"))
                #expect(try message("kd", .exact, with: offsets).contains("'teacher/hidden'"))
            }
            // A map between two wide spaces, which the file does not hold.
            let wide = 1 << 13
            let ones = [Double](repeating: 1, count: wide)
            let states: [(ResultFile.Layout, [Double])] = [
                (.init("student/hidden", .f32, [1, wide]), ones),
                (.init("student/head", .f32, [1, wide]), ones),
                (.init("student/labels", .i64, [1]), [0]),
                (.init("teacher/hidden", .f32, [1, wide]), ones),
                (.init("teacher/head", .f32, [1, wide]), ones),
            ]
            for name in ["dskd", "dskd_v2", "hidden_mse"] {
                let words = try message(name, .exact, with: states)
                #expect(words.contains("at most 16777216 have room"), "\(words)")
            }
            // Ids of a vocabulary whose texts are the only sign of its size.
            let tokens: [(ResultFile.Layout, [Double])] = [
                (.init("student/input_ids", .i64, [1]), [0]),
                (.init("teacher/input_ids", .i64, [1]), [0]),
                (.init("teacher/labels", .i64, [1]), [0]),
                (.init("teacher/topk_ids", .i64, [1, 1]), [3]),
                (.init("teacher/topk_logprobs", .f32, [1, 1]), [-0.5]),
            ]
            #expect(
                try message("min_edit", .topK, with: tokens).contains("token 3 is beyond the 3")
            )
            let twice: [(ResultFile.Layout, [Double])] = [
                (.init("teacher/sample_offsets", .i64, [2]), [0, 2]),
                (.init("teacher/sample_ids", .i64, [2]), [1, 1]),
                (.init("teacher/sample_counts", .i64, [2]), [1, 1]),
            ]
            #expect(try message("kd", .sampled, with: twice).contains("Add up the counts"))
            let nothing = [
                (
                    ResultFile.Layout("teacher/full_logprobs", .f32, [1, 4]),
                    [0, -Double.infinity, -9, -9]
                )
            ]
            let infinite = try message("kd", .full, .reverseKL, with: nothing)
            #expect(infinite.contains("reverse_kl is infinite"))
        }
    }
}
