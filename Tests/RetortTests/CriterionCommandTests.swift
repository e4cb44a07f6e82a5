import Foundation
import TestSupport
import Testing

@testable import Cache
@testable import Distill

@Suite("The command criterion", .serialized)
struct CriterionCommandTests {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("CacheTests/Fixtures/tensors")

    private static func bad() -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: fixtures.path)
        return (names ?? []).filter { $0.hasPrefix("bad_") }.sorted()
    }

    private func run(
        _ arguments: [String],
        in folder: URL,
        environment: [String: String] = [:]
    ) throws -> RetortProcess.Result {
        try RetortProcess.run(
            ["criterion", "run"] + arguments,
            in: folder,
            environment: environment
        )
    }

    /// Two rows of a student over five tokens, and a teacher of the same.
    private func write(to url: URL, labels: [Int64] = [2, 4]) throws {
        func wave(_ count: Int, _ phase: Double) -> [Float] {
            (0..<count).map { Float(sin(1.7 * Double($0) + phase)) }
        }
        let arrays: [(String, [Int], [Float])] = [
            ("student/hidden", [2, 3], wave(6, 0)), ("student/head", [5, 3], wave(15, 1)),
            ("teacher/hidden", [2, 4], wave(8, 2)), ("teacher/head", [5, 4], wave(20, 3)),
        ]
        let integers: [(String, [Int64])] = [
            ("student/labels", labels), ("teacher/labels", [2, 4]), ("student/offsets", [0, 2]),
            ("teacher/offsets", [0, 2]),
        ]
        let file = try ResultFile(
            url,
            arrays.map { .init($0.0, .f32, $0.1) }
                + integers.map { .init($0.0, .i64, [$0.1.count]) }
        )
        for (name, _, values) in arrays {
            try values.withUnsafeBytes { try file.append(name, $0) }
        }
        for (name, values) in integers {
            try values.withUnsafeBytes { try file.append(name, $0) }
        }
        try file.finish()
    }

    @Test("list has every criterion, a line each")
    func list() throws {
        try withFolder { folder in
            let result = try RetortProcess.run(["criterion", "list"], in: folder)
            #expect(result.code == 0)
            let lines = result.output.split(separator: "\n")
            #expect(
                lines.map { String($0.prefix { $0 != " " }) } == CriterionRegistry.names
                    && lines.allSatisfy { $0.count > 30 && $0.count <= 100 }
            )
        }
    }

    @Test("losses are printed and written, and settings change them; in the jail and without")
    func good() throws {
        try withFolder { folder in
            try write(to: folder.appendingPathComponent("in.h5"))
            let arguments = ["--name", "kd", "--input", "in.h5", "--output", "made/out.h5"]
            let jailed = try run(arguments, in: folder)
            #expect(jailed.code == 0, "\(jailed.errors)")
            let names = jailed.output.split(separator: "\n").map { $0.prefix { $0 != " " } }
            #expect(names == ["ce", "kd", "total"])
            let out = try TensorFile(folder.appendingPathComponent("made/out.h5"))
            #expect(
                out.names == [
                    "grad/student/head", "grad/student/hidden", "loss/ce", "loss/kd", "loss/total",
                ]
            )
            func number(_ name: String) throws -> Float { try out.floats(name).values[0] }
            let total = try number("loss/total")
            #expect(abs(total - (try number("loss/ce") + number("loss/kd")) / 2) < 1e-6)
            #expect(out.shape(of: "grad/student/head") == [5, 3])
            let bare = try run(
                arguments + ["--replace"],
                in: folder,
                environment: ["RETORT_NO_SANDBOX": "1"]
            )
            #expect(bare.code == 0 && bare.output == jailed.output)
            let hot = try run(
                arguments + ["--replace", "--set", "temperature=9", "--set", "kd_rate=1"],
                in: folder
            )
            #expect(hot.code == 0 && hot.output != jailed.output)
            let changed = try TensorFile(folder.appendingPathComponent("made/out.h5"))
            #expect(try changed.floats("loss/kd").values == changed.floats("loss/total").values)
        }
    }

    @Test("mistakes end with their code, and say what to do")
    func mistakes() throws {
        try withFolder { folder in
            try write(to: folder.appendingPathComponent("in.h5"))
            try write(to: folder.appendingPathComponent("bad.h5"), labels: [2, 5])
            try Data("mine".utf8).write(to: folder.appendingPathComponent("there.h5"))
            let cases: [([String], Int32, String)] = [
                (["--name", "kd", "--input", "gone.h5", "--output", "o.h5"], 66, "gone.h5: open"),
                (
                    ["--name", "kd", "--input", "bad.h5", "--output", "o.h5"], 65,
                    "bad.h5: 'student/labels' has 5 at element 1, not an id from 0 to 4"
                ),
                (
                    ["--name", "dskd", "--input", "in.h5", "--output", "o.h5"], 65,
                    "in.h5: dskd needs 'projectors/t2s/weight'"
                ),
                (["--name", "dskdd", "--input", "in.h5", "--output", "o.h5"], 64, "\"dskd\""),
                (["--name", "kd", "--input", "in.h5", "--output", "there.h5"], 73, "--replace"),
                (
                    ["--name", "kd", "--input", "in.h5", "--output", "in.h5", "--replace"], 73,
                    "choose another output"
                ),
            ]
            for (arguments, code, words) in cases {
                let result = try run(arguments, in: folder)
                #expect(result.code == code && result.errors.contains(words), "\(result)")
            }
            let settings: [(String, String)] = [
                ("temprature=1", "did you mean \"temperature\"?"),
                ("steps=3", "unknown key \"set.steps\""),
                ("temperature=0", "--set temperature: 0.0 makes no sense"),
                ("divergence=forward", "did you mean \"forward_kl\"?"),
                ("kd_rate=much", "kd_rate"), ("temperature", "not of the form key=value"),
            ]
            for (setting, words) in settings {
                let result = try run(
                    ["--name", "kd", "--input", "in.h5", "--output", "o.h5", "--set", setting],
                    in: folder
                )
                #expect(result.code == 64 && result.errors.contains(words), "\(result)")
            }
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(!names.contains("o.h5"))
            #expect(
                try Data(contentsOf: folder.appendingPathComponent("there.h5")) == Data("mine".utf8)
            )
        }
    }

    @Test("a stranger's file is refused by name", arguments: bad())
    func hostile(name: String) throws {
        try withFolder { folder in
            let path = Self.fixtures.appendingPathComponent(name).path
            let result = try run(
                ["--name", "kd", "--input", path, "--output", "out.h5"],
                in: folder
            )
            #expect(result.code == 65 && result.errors.contains("\(path): "), "\(result)")
            #expect(!result.errors.contains("crashed"), "\(result.errors)")
        }
    }

    @Test("structure in which HDF5 goes round in circles is refused by name")
    func hang() throws {
        try withFolder { folder in
            let path = Self.fixtures.appendingPathComponent("hang_heap.h5").path
            let result = try run(
                ["--name", "kd", "--input", path, "--output", "out.h5"],
                in: folder
            )
            #expect(result.code == 65 && result.errors.contains("\(path): HDF5 "), "\(result)")
            // Stopped for its processor time, or on a busy machine for its time.
            #expect(result.errors.contains("stopped on") || result.errors.contains("hangs on"))
        }
    }

    @Test("damaged structure never ends the command itself")
    func damage() throws {
        try withFolder { folder in
            let url = folder.appendingPathComponent("in.h5")
            try write(to: url)
            let whole = [
                [UInt8](try Data(contentsOf: url)),
                [UInt8](
                    try Data(contentsOf: Self.fixtures.appendingPathComponent("good.h5"))
                ),
            ]
            var generator = OrderGenerator(seed: 11, epoch: 0, stream: 0)
            for number in 0..<60 {
                var bytes = whole[number % 2]
                let reach = min(bytes.count, number % 3 == 0 ? bytes.count : 2048)
                for _ in 0..<8 {
                    bytes[Int(generator.next() % UInt64(reach))] = UInt8(
                        truncatingIfNeeded: generator.next()
                    )
                }
                try Data(bytes).write(to: url)
                let result = try run(
                    ["--name", "kd", "--input", "in.h5", "--output", "out.h5", "--replace"],
                    in: folder
                )
                #expect(result.code == 65 || result.code == 0, "\(number): \(result)")
            }
        }
    }
}
