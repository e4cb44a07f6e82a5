import Foundation
import Testing

@testable import Models

/// Where scripts/fetch-teacher.sh puts SmolLM2-135M-Instruct, when the tester says so.
private let teacherPath = ProcessInfo.processInfo.environment["RETORT_TEACHER_GGUF"]

@Suite("The real teacher's file", .enabled(if: teacherPath != nil))
struct WeightsRealFileTests {
    @Test("SmolLM2 is read whole, with the values that the gguf package gives")
    func smolLM2() throws {
        let file = try GGUFFile(path: #require(teacherPath))
        #expect(try file.string("general.architecture") == "llama")
        #expect(try file.string("tokenizer.ggml.pre") == "smollm")
        #expect(try file.int("llama.block_count") == 30)
        #expect(try file.float("llama.rope.freq_base") == 100_000)
        #expect(try file.strings("tokenizer.ggml.tokens").count == 49_152)
        #expect(file.tensorNames.count == 272)
        for name in file.tensorNames {
            #expect(try allFloats(file, name).allSatisfy(\.isFinite))
        }
        let starts: [(name: String, shape: [Int], start: [Float])] = [
            ("token_embd.weight", [49_152, 576], [-0.10654449, 0.03297806, 0.0481987]),
            ("blk.3.attn_q.weight", [576, 576], [0.07791138, 0.15280151, -0.10931396]),
            ("output_norm.weight", [576], [1.7578125, 1.8203125, 1.78125]),
        ]
        for (name, shape, start) in starts {
            let found = try file.floats(name, expecting: shape)
            #expect(zip(found, start).allSatisfy { abs($0 - $1) < 1e-7 }, "\(name)")
        }
    }
}
