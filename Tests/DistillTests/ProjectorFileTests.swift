import Cache
import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("Projectors from a file")
struct ProjectorFileTests {
    private typealias Tensor = (name: String, shape: [Int], values: [Float])

    /// The projectors that training would begin with.
    private func projectors(_ world: TinyWorld, _ settings: DistillSettings) throws -> [Parameter] {
        let training = try StudentTraining(
            model: try TinyWorld.model(try TinyWorld.tokenizer(merges: true)),
            teacher: try CachedTeacher(world.reader, compute: .f32),
            settings: settings
        )
        return training.criterion.projectors.flatMap(\.parameters)
    }

    /// The projectors of `dskd_cma` for a student of width 8 and `TinyWorld`'s teacher, in small numbers.
    private func tensors() -> [Tensor] {
        let (student, teacher) = (8, TinyWorld.width)
        let sizes = [
            ("t2s", teacher, student), ("s2t", student, teacher),
            ("query", 2 * student, 2 * teacher),
        ]
        var random = RandomNumbers(seed: 8, purpose: "projector file")
        return sizes.flatMap { name, inputs, outputs -> [Tensor] in
            [("weight", [outputs, inputs]), ("bias", [outputs])].map { kind, shape in
                let count = shape.reduce(1, *)
                return (
                    name: "\(name).\(kind)", shape: shape,
                    values: (0..<count).map { _ in 0.1 * random.normal() }
                )
            }
        }
    }

    private func write(_ tensors: [Tensor], _ world: TinyWorld) throws -> String {
        let url = world.directory.appendingPathComponent("given.safetensors")
        let copies = tensors.map {
            UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.values.count)
        }
        defer { for copy in copies { copy.deallocate() } }
        for (copy, tensor) in zip(copies, tensors) { _ = copy.update(from: tensor.values) }
        try SafetensorsWriter.write(
            zip(tensors, copies).map {
                (name: $0.name, shape: $0.shape, values: UnsafeBufferPointer($1))
            },
            type: .f32,
            to: url
        )
        return url.path
    }

    @Test("a run starts from the given values, those that its student's gradients then see")
    func starts() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var given = world.settings("given")
        let want = tensors()
        given.projectorsFrom = try write(want, world)
        let parameters = try projectors(world, given)
        #expect(Set(parameters.map(\.name)) == Set(want.map(\.name)))
        for tensor in want {
            let parameter = try #require(parameters.first { $0.name == tensor.name })
            #expect(parameter.value.values == tensor.values)
        }
        var losses: [[String: Double]] = []
        for run in [given, world.settings("drawn")] {
            _ = try world.trainer(run).run(progress: { losses.append($0.losses) })
        }
        #expect(losses[0]["ce"] == losses[3]["ce"])
        #expect(losses[0]["t2s_ce"] != losses[3]["t2s_ce"])
    }

    @Test("the projectors that a run leaves are where another one starts")
    func handedOn() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let first = world.settings("first")
        _ = try world.trainer(first).run()
        var second = world.settings("second")
        second.projectorsFrom = first.output + "/projectors.safetensors"
        let file = try SafetensorsFile(path: first.output + "/projectors.safetensors")
        for parameter in try projectors(world, second) {
            let stored = try file.floats(parameter.name, expecting: parameter.shape)
            #expect(parameter.value.values == stored)
        }
    }

    @Test("other values are another run; where the file lies does not matter")
    func fingerprint() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = world.settings("run")
        var values = tensors()
        let path = try write(values, world)
        run.projectorsFrom = path
        _ = try world.trainer(run).run(shouldStop: { true })
        let moved = world.directory.appendingPathComponent("moved.safetensors").path
        try FileManager.default.moveItem(atPath: path, toPath: moved)
        run.projectorsFrom = moved
        #expect(try world.trainer(run).run(shouldStop: { true }) == .stopped(step: 2))
        values[0].values[0] += 1
        run.projectorsFrom = try write(values, world)
        let other = #expect(throws: DistillError.self) { try world.trainer(run).run() }
        #expect(other?.description.contains("projectors_from: ") == true)
        run.projectorsFrom = nil
        let drawn = #expect(throws: DistillError.self) { try world.trainer(run).run() }
        #expect(drawn?.description.contains("projectors_from: default here") == true)
    }

    @Test(
        "a file of other projectors is refused with the file, the tensor and what is wrong with it",
        arguments: [
            ("shape", "tensor \"t2s.weight\": expected shape [8, 12], found [12, 8]"),
            ("missing", "not the projectors of dskd_cma: tensors missing \"s2t.bias\""),
            ("unknown", "tensors unknown \"extra\""),
            ("nan", "tensor \"query.bias\": element 3 is nan"),
        ]
    )
    func refused(fault: String, message: String) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var values = tensors()
        func index(_ name: String) throws -> Int {
            try #require(values.firstIndex { $0.name == name })
        }
        switch fault {
        case "shape": values[try index("t2s.weight")].shape = [12, 8]
        case "missing": values.remove(at: try index("s2t.bias"))
        case "unknown": values.append((name: "extra", shape: [1], values: [1]))
        default: values[try index("query.bias")].values[3] = .nan
        }
        var run = world.settings("refused")
        run.projectorsFrom = try write(values, world)
        let error = #expect(throws: ModelError.self) { try world.trainer(run) }
        #expect(error?.kind == .mismatch)
        #expect(error?.description.contains("given.safetensors: ") == true)
        #expect(error?.description.contains(message) == true)
        #expect(!FileManager.default.fileExists(atPath: run.output))
    }

    @Test("a damaged or missing file, and a criterion without projectors, are refused")
    func unusable() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = world.settings("unusable")
        let path = try write(tensors(), world)
        run.projectorsFrom = path
        run.criterion = "sft"
        let none = #expect(throws: DistillError.self) { try world.trainer(run) }
        #expect(none?.description.contains("distill.projectors_from: a file with sft") == true)
        run.criterion = "dskd_cma"
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        try data.dropLast(4).write(to: URL(fileURLWithPath: path))
        let cut = #expect(throws: ModelError.self) { try world.trainer(run) }
        #expect(cut?.kind == .corrupt)
        run.projectorsFrom = path + ".gone"
        let gone = #expect(throws: ModelError.self) { try world.trainer(run) }
        #expect(gone?.kind == .missing)
        run.projectorsFrom = ""
        let empty = #expect(throws: DistillError.self) { try world.trainer(run) }
        #expect(empty?.description.contains("distill.projectors_from: an empty text") == true)
    }
}
