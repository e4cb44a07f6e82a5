import Foundation
import Testing

@testable import Models

@Suite("safetensors files")
struct WeightsSafetensorsTests {
    @Test("what the Python package wrote is read: all types, scalars, empty tensors, odd names")
    func python() throws {
        let file = try SafetensorsFile(path: weightFixture("plain.safetensors"))
        #expect(file.metadata == ["format": "pt", "note": "a \"note\""])
        #expect(try file.floats("f32", expecting: [7, 33]) == fixturePattern(231))
        #expect(try file.floats("f16", expecting: [5, 9]) == fixturePattern(45))
        #expect(try file.floats("bf16", expecting: [4, 3, 5]) == fixturePattern(60))
        #expect(try file.floats("scalar", expecting: []) == [2.5])
        #expect(try file.floats("empty", expecting: [0, 4]) == [])
        #expect(try file.floats("quote \" and \\ and ü", expecting: [2]) == fixturePattern(2))
        #expect(try file.int64s("i64") == [-1, 1 << 40, 3])
        #expect(try file.bytes("u8") == [0, 7, 255])
        #expect(file.info("bf16")?.rowCount == 12)
        let integers = #expect(throws: ModelError.self) {
            try file.floats("i64", expecting: [3])
        }
        #expect(integers?.kind == .unsupported)
    }

    @Test("a sharded directory is read through its index")
    func sharded() throws {
        let model = try SafetensorsDirectory(path: weightFixture("sharded"))
        #expect(model.fileNames.count == 3)
        #expect(
            model.tensorNames == (0..<3).map { "model.layers.\($0).weight" } + ["model.norm.weight"]
        )
        for layer in 0..<3 {
            let name = "model.layers.\(layer).weight"
            #expect(try model.floats(name, expecting: [16, 16]) == fixturePattern(256))
        }
        let absent = #expect(throws: ModelError.self) {
            try model.floats("layers.1.weight", expecting: [16, 16])
        }
        #expect(absent?.message.contains("model.layers.1.weight") == true)
    }

    @Test("a single file is preferred, and a directory without weights is reported")
    func single() throws {
        try withScratchDirectory { folder in
            let empty = #expect(throws: ModelError.self) {
                try SafetensorsDirectory(path: folder.path)
            }
            #expect(empty?.kind == .missing)
            try FileManager.default.copyItem(
                atPath: weightFixture("plain.safetensors"),
                toPath: folder.appendingPathComponent("model.safetensors").path
            )
            try Data("{}".utf8).write(
                to: folder.appendingPathComponent("model.safetensors.index.json")
            )
            let model = try SafetensorsDirectory(path: folder.path)
            #expect(model.fileNames == ["model.safetensors"])
            #expect(try model.floats("f16", expecting: [5, 9]) == fixturePattern(45))
        }
    }

    @Test(
        "an index that is stale or leads elsewhere is refused",
        arguments: [
            ("model-00003-of-00003.safetensors", "model-00004-of-00003.safetensors", "missing"),
            ("model.layers.2.weight", "model.layers.9.weight", "mismatch"),
            ("model-00003-of-00003.safetensors", "../plain.safetensors", "corrupt"),
            ("model-00003-of-00003.safetensors", "/etc/passwd", "corrupt"),
            ("model-00003-of-00003.safetensors", "..", "corrupt"),
            ("model-00003-of-00003.safetensors", "", "corrupt"),
            ("model-00003-of-00003.safetensors", "a\\u0000b", "corrupt"),
            ("model-00003-of-00003.safetensors", "MODEL-00002-of-00003.safetensors", "corrupt"),
            ("model.layers.2.weight", "model.layers.1.weight", "corrupt"),
            ("\"weight_map\"", "\"weights\"", "corrupt"),
        ]
    )
    func staleIndex(replaced: String, by replacement: String, kind: String) throws {
        try withScratchDirectory { folder in
            let copy = folder.appendingPathComponent("model").path
            try FileManager.default.copyItem(atPath: weightFixture("sharded"), toPath: copy)
            let index = copy + "/model.safetensors.index.json"
            let text = try String(contentsOfFile: index, encoding: .utf8)
            try text.replacingOccurrences(of: replaced, with: replacement)
                .write(toFile: index, atomically: true, encoding: .utf8)
            let error = #expect(throws: ModelError.self) { try SafetensorsDirectory(path: copy) }
            #expect(error?.kind.rawValue == kind)
            #expect(error?.path.hasPrefix(copy) == true)
        }
    }
}

@Suite("Writing safetensors")
struct WeightsWriterTests {
    @Test("weights come back as they were", arguments: [WeightType.f32, .f16, .bf16])
    func roundTrip(type: WeightType) throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("out.safetensors")
            // More than one piece of the converter.
            let large = fixturePattern(150_000)
            let name = "odd \"name\"\n"
            try large.withUnsafeBufferPointer { values in
                let small = UnsafeBufferPointer(rebasing: values[..<6])
                try SafetensorsWriter.write(
                    [
                        (name: "large", shape: [300, 500], values: values),
                        (name: name, shape: [2, 3], values: small),
                    ],
                    type: type,
                    metadata: ["step": "12"],
                    to: path
                )
            }
            let file = try SafetensorsFile(path: path.path)
            #expect(file.metadata == ["format": "pt", "step": "12"])
            #expect(file.info("large")?.type == type)
            #expect(try file.floats("large", expecting: [300, 500]) == large)
            #expect(try file.floats(name, expecting: [2, 3]) == fixturePattern(6))
            var rows = [Float](repeating: 0, count: 1_000)
            try rows.withUnsafeMutableBufferPointer {
                try file.readRows("large", rows: 7..<9, into: $0)
            }
            #expect(rows[...] == large[3_500..<4_500])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
        }
    }

    @Test("a checkpoint's floats, integers and bytes come back, aligned")
    func checkpoint() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("state.safetensors")
            let bytes: [UInt8] = [9, 8, 7]
            let integers: [Int64] = [.min, 0, .max]
            let floats: [Float] = [.leastNonzeroMagnitude, -0.0, .infinity]
            try bytes.withUnsafeBufferPointer { bytes in
                try integers.withUnsafeBufferPointer { integers in
                    try floats.withUnsafeBufferPointer { floats in
                        try SafetensorsWriter.write(
                            [
                                .init(name: "rng", shape: [3], payload: .bytes(bytes)),
                                .init(name: "m", shape: [3], payload: .floats(floats, as: .f32)),
                                .init(name: "step", shape: [3], payload: .int64s(integers)),
                            ],
                            to: path
                        )
                    }
                }
            }
            let file = try SafetensorsFile(path: path.path)
            #expect(try file.bytes("rng") == bytes)
            #expect(try file.int64s("step") == integers)
            let found = try file.floats("m", expecting: [3])
            #expect(found.map(\.bitPattern) == floats.map(\.bitPattern))
            #expect(file.stored("step")?.offset.isMultiple(of: 8) == true)
            #expect(file.stored("m")?.offset.isMultiple(of: 4) == true)
        }
    }

    @Test("wrong counts, duplicate names and types that cannot be written are refused")
    func refusals() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("out.safetensors")
            try fixturePattern(6).withUnsafeBufferPointer { (values) throws in
                typealias Tensor = (
                    name: String, shape: [Int], values: UnsafeBufferPointer<Float>
                )
                let wrong: [([Tensor], WeightType, ModelError.Kind)] = [
                    ([("a", [2, 4], values)], .f32, .mismatch),
                    ([("a", [-2, -3], values)], .f32, .mismatch),
                    ([("a", [6], values), ("a", [6], values)], .f32, .mismatch),
                    ([("__metadata__", [6], values)], .f32, .mismatch),
                    ([("a", [6], values)], .q8_0, .unsupported),
                    ([("a", [6], values)], .i64, .unsupported),
                ]
                for (tensors, type, kind) in wrong {
                    let error = #expect(throws: ModelError.self) {
                        try SafetensorsWriter.write(tensors, type: type, to: path)
                    }
                    #expect(error?.kind == kind)
                }
                let nowhere = folder.appendingPathComponent("none/out.safetensors")
                let error = #expect(throws: ModelError.self) {
                    try SafetensorsWriter.write([("a", [6], values)], type: .f32, to: nowhere)
                }
                #expect(error?.kind == .io)
                #expect(error?.path == nowhere.path)
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    @Test("a disk that fills up at any write leaves the old file and no temporary one")
    func fullDisk() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("out.safetensors")
            try Data("old".utf8).write(to: path)
            for failing in 0..<4 {
                var call = 0
                let write: AtomicFile.Write = { descriptor, start, count in
                    defer { call += 1 }
                    guard call == failing else {
                        return AtomicFile.systemWrite(descriptor, start, count)
                    }
                    errno = ENOSPC
                    return -1
                }
                let error = try fixturePattern(6).withUnsafeBufferPointer { values in
                    let entries = ["a", "b", "c", "d"].map {
                        SafetensorsWriter.Entry(
                            name: $0,
                            shape: [6],
                            payload: .floats(values, as: .f32)
                        )
                    }
                    return try #require(throws: ModelError.self) {
                        try SafetensorsWriter.write(
                            entries,
                            metadata: [:],
                            to: path,
                            using: write
                        )
                    }
                }
                #expect(error.kind == .io)
                #expect(error.description.contains("No space left on device"))
                #expect(error.path == path.path)
                #expect(try Data(contentsOf: path) == Data("old".utf8))
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: folder.path)
                        == ["out.safetensors"]
                )
            }
        }
    }

    @Test("short and interrupted writes are continued")
    func shortWrites() throws {
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("out.safetensors")
            var call = 0
            let write: AtomicFile.Write = { descriptor, start, count in
                call += 1
                guard call.isMultiple(of: 3) else {
                    return AtomicFile.systemWrite(descriptor, start, min(count, 7))
                }
                errno = EINTR
                return -1
            }
            try fixturePattern(60).withUnsafeBufferPointer { values in
                let entry = SafetensorsWriter.Entry(
                    name: "a",
                    shape: [60],
                    payload: .floats(values, as: .bf16)
                )
                try SafetensorsWriter.write([entry], metadata: [:], to: path, using: write)
            }
            let found = try SafetensorsFile(path: path.path).floats("a", expecting: [60])
            #expect(found == fixturePattern(60))
        }
    }
}
