import Cache
import Distill
import Extract
import Foundation
import Models
import Report
import Tokenizers

/// A kind of file that strangers give us, and what is done with one that opens.
enum Target: String, CaseIterable {
    case gguf
    case safetensors
    case tokenizer
    case config
    case tensors
    case criterion
    case metrics, eval, maps

    /// The name that a mutated file gets in its directory.
    var fileName: String {
        switch self {
        case .gguf: "model.gguf"
        case .safetensors: "model.safetensors"
        case .tokenizer: "tokenizer.json"
        case .config: "config.json"
        case .tensors, .criterion: "arrays.h5"
        case .metrics: "metrics.jsonl"
        case .eval: "eval.json"
        case .maps: "eval.maps.json"
        }
    }

    /// The part of a file that is JSON.
    func text(_ bytes: [UInt8]) -> Range<Int>? {
        switch self {
        case .gguf, .tensors, .criterion: nil
        case .safetensors: 8..<max(8, min(bytes.count, 8 + headerLength(bytes)))
        case .tokenizer, .config, .metrics, .eval, .maps: 0..<bytes.count
        }
    }

    private func headerLength(_ bytes: [UInt8]) -> Int {
        let length = bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(min(length, UInt64(bytes.count)))
    }

    /// Makes the header's length true again after its text has changed, so that damage behind it is
    /// reached.
    func mend(_ bytes: inout [UInt8], grownBy growth: Int, oldHeader: Int) {
        guard self == .safetensors, bytes.count >= 8 else { return }
        let length = UInt64(max(0, oldHeader + growth))
        for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: length >> UInt64(8 * index)) }
    }

    /// Opens what lies in `directory` and uses it as the commands do.
    ///
    /// - Throws: The error that a person would see.
    func use(_ directory: URL) throws {
        let file = directory.appendingPathComponent(fileName)
        switch self {
        case .gguf:
            let weights = try GGUFFile(path: file.path)
            for name in weights.tensorNames { try read(name, weights) }
            // Some of the files are weights alone, some a vocabulary alone.
            if (try? weights.string("tokenizer.ggml.model")) != nil {
                try use(try Tokenizer(weights))
            }
            if weights.info("token_embd.weight") != nil { try run(try Checkpoint(file)) }
        case .safetensors, .config:
            try run(try Checkpoint(directory))
        case .tokenizer:
            try use(try Tokenizer(directory: directory))
        case .tensors:
            let arrays = try TensorFile(file)
            for name in arrays.names {
                // Numbers or texts; one of them is an error.
                if (try? arrays.strings(name)) == nil { _ = try arrays.floats(name) }
            }
        case .metrics, .eval, .maps:
            // What is wrong is left out of the page, or told on it.
            let runs = [ReportRun(directory)]
            let beside = ReportEval.beside([directory])
            _ = ReportPage(
                runs: runs,
                evals: beside.found,
                unreadable: beside.unreadable,
                cache: nil
            ).html()
            _ = WatchScreen(width: 80, height: 24).lines(runs)
            if let file = beside.unreadable.first { throw ReportError.unreadable(file.path) }
        case .criterion:
            let input = try CriterionInput(file)
            for name in CriterionRegistry.names {
                for signal in TeacherSignal.allCases {
                    var settings = CriterionSettings(temperature: 1)
                    settings.teacherSignal = signal
                    // An error of what is missing is as good as losses.
                    _ = try? CriterionRun.evaluate(name, settings: settings, on: input)
                }
            }
        }
    }

    private func read(_ name: String, _ weights: GGUFFile) throws {
        guard let info = weights.info(name) else { return }
        var values = [Float](repeating: 0, count: info.elementCount)
        try values.withUnsafeMutableBufferPointer { try weights.read(name, into: $0) }
    }

    private func run(_ checkpoint: Checkpoint) throws {
        let model = try checkpoint.model()
        let count = UInt32(model.configuration.vocabularySize)
        let batch = VarlenBatch([[0, 1 % count, 2 % count, 3 % count, 1 % count], [0]])
        guard model.configuration.maxPositions >= 5 else { return }
        _ = model.hiddenStates(batch, tape: nil)
    }

    private static let texts = [
        "", "Hello world", "  two  spaces\n\n\ttabs\r\n", "naïve café 日本語 العربية हिन्दी 👩‍👩‍👧‍👦",
        "<s>[INST] 12345 [/INST]</s><|endoftext|>", String(repeating: "a", count: 3_000),
        "e\u{301}\u{302}\u{0}\u{7f}\u{fffd}",
    ]

    private func use(_ tokenizer: Tokenizer) throws {
        for text in Self.texts {
            let ids = try tokenizer.encode(text)
            _ = tokenizer.decode(ids, skipSpecialTokens: false)
            for id in ids.prefix(50) { _ = tokenizer.bytes(of: id) }
        }
        _ = tokenizer.decode([0, .max, 1 << 30])
    }
}
