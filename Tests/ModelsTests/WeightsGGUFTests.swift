import Foundation
import Testing

@testable import Models

@Suite("GGUF files")
struct WeightsGGUFTests {
    @Test(
        "every type is dequantised to the bits that the gguf package gives",
        arguments: [
            "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
            "IQ4_NL", "IQ4_XS", "F32", "F16", "BF16",
        ]
    )
    func goldens(name: String) throws {
        let file = try GGUFFile(path: weightFixture("quants.gguf"))
        let golden = try SafetensorsFile(path: weightFixture("quants.safetensors"))
        let info = try file.requiredInfo(name)
        #expect(info.type.rawValue.lowercased() == name.lowercased())
        let expected = try golden.floats(name, expecting: info.shape)
        let found = try file.floats(name, expecting: info.shape)
        #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
        let width = info.rowLength
        var row = [Float](repeating: 0, count: width)
        try row.withUnsafeMutableBufferPointer { try file.readRows(name, rows: 1..<2, into: $0) }
        #expect(row[...] == expected[width..<(2 * width)])
    }

    @Test("metadata of every kind is read")
    func metadata() throws {
        let file = try GGUFFile(path: weightFixture("quants.gguf"))
        #expect(file.version == 3)
        #expect(try file.string("general.architecture") == "llama")
        #expect(try file.int("test.u32") == 4_000_000_000)
        #expect(try file.int("test.i32") == -7)
        #expect(file.metadata["test.u64"] == .uint(.max))
        #expect(try file.float("test.f32") == Double(Float(0.1)))
        #expect(try file.float("test.f64") == 0.1)
        #expect(try file.float("test.i32") == -7)
        #expect(try file.bool("test.bool"))
        #expect(try file.string("test.string") == "Grüße, 世界")
        #expect(try file.strings("test.strings") == ["a", "", "Ġthe"])
        #expect(try file.ints("test.ints") == [1, -2, 3])
        #expect(try file.floats("test.floats") == [0.5, -1.5])
        #expect(file.metadata["test.nested"] == .array([.ints([1, 2]), .ints([3])]))
    }

    @Test("a missing key and a key of another type are named with what was expected and found")
    func typedAccess() throws {
        let file = try GGUFFile(path: weightFixture("quants.gguf"))
        let missing = #expect(throws: ModelError.self) { try file.int("llama.block_count") }
        #expect(missing?.kind == .missing)
        #expect(missing?.description.contains("llama.block_count") == true)
        let wrong = #expect(throws: ModelError.self) { try file.int("test.string") }
        #expect(wrong?.kind == .mismatch)
        #expect(wrong?.message.contains("expected an integer, found a string") == true)
    }

    @Test("version 2 is read like version 3")
    func version2() throws {
        try withScratchDirectory { folder in
            var data = try Data(contentsOf: URL(fileURLWithPath: weightFixture("quants.gguf")))
            data[4] = 2
            let path = folder.appendingPathComponent("v2.gguf")
            try data.write(to: path)
            let file = try GGUFFile(path: path.path)
            #expect(file.version == 2)
            #expect(try allFloats(file, "F32").count == 120)
        }
    }

    @Test("a tensor that is not there, wrong shapes, buffers and rows are refused")
    func misuse() throws {
        let file = try GGUFFile(path: weightFixture("quants.gguf"))
        let shape = #expect(throws: ModelError.self) { try file.floats("F32", expecting: [40, 3]) }
        #expect(shape?.message.contains("expected shape [40, 3], found [3, 40]") == true)
        let absent = #expect(throws: ModelError.self) { try file.floats("F33", expecting: [1]) }
        #expect(absent?.kind == .missing)
        var small = [Float](repeating: 0, count: 5)
        small.withUnsafeMutableBufferPointer { buffer in
            let size = #expect(throws: ModelError.self) { try file.read("F32", into: buffer) }
            #expect(size?.kind == .mismatch)
            let rows = #expect(throws: ModelError.self) {
                try file.readRows("F32", rows: 2..<4, into: buffer)
            }
            #expect(rows?.message.contains("2..<4") == true)
        }
    }
}

@Suite("Half precision")
struct WeightsHalfTests {
    @Test("every half converts to the float of the same value, and back")
    func everyHalf() throws {
        let halves = (0...UInt16.max).map { Float16(bitPattern: $0) }
        let expected = halves.map { Float($0) }
        try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("halves.safetensors")
            let count = expected.count
            try expected.withUnsafeBufferPointer {
                try SafetensorsWriter.write(
                    [(name: "h", shape: [count], values: $0)],
                    type: .f16,
                    to: path
                )
            }
            let file = try SafetensorsFile(path: path.path)
            let found = try file.floats("h", expecting: [count])
            let raw = try file.bytes("h")
            for i in 0..<count where !expected[i].isNaN {
                #expect(found[i].bitPattern == expected[i].bitPattern)
                let bits = UInt16(raw[2 * i]) | UInt16(raw[2 * i + 1]) << 8
                #expect(bits == UInt16(i))
            }
            #expect(zip(found, expected).allSatisfy { $0.isNaN == $1.isNaN })
        }
    }

    @Test("floats are rounded to the nearest half and bfloat16, ties to even")
    func rounding() throws {
        var generator = SeededGenerator(state: 3)
        // Any bit pattern, and the halves' own range with its ties.
        var values = (0..<50_000).map { _ in
            Float(bitPattern: UInt32.random(in: 0...(.max), using: &generator))
        }
        values += (0..<50_000).map { _ in
            let half = Float(Float16(bitPattern: UInt16.random(in: 0..<0x7c00, using: &generator)))
            return Bool.random(using: &generator) ? half + half.ulp * 4096 : -half * 1.0004883
        }
        let count = values.count
        try withScratchDirectory { folder in
            let files = try [WeightType.f16, .bf16].map { type in
                let path = folder.appendingPathComponent("\(type.rawValue).safetensors")
                try values.withUnsafeBufferPointer {
                    try SafetensorsWriter.write(
                        [(name: "v", shape: [count], values: $0)],
                        type: type,
                        to: path
                    )
                }
                return try SafetensorsFile(path: path.path)
            }
            let halves = try files[0].floats("v", expecting: [count])
            let brains = try files[1].floats("v", expecting: [count])
            for (i, value) in values.enumerated() {
                if value.isNaN {
                    #expect(halves[i].isNaN && brains[i].isNaN)
                    continue
                }
                #expect(halves[i].bitPattern == Float(Float16(value)).bitPattern)
                // A bfloat16 has 16 bits less: the two neighbours, and the nearer one.
                let below = Float(bitPattern: value.bitPattern & 0xffff_0000)
                let lower = value.bitPattern & 0xffff
                let odd = value.bitPattern >> 16 & 1 == 1
                let up = lower > 0x8000 || (lower == 0x8000 && odd)
                let expected = Float(bitPattern: below.bitPattern &+ (up ? 0x1_0000 : 0))
                #expect(brains[i].bitPattern == expected.bitPattern)
            }
        }
    }
}
