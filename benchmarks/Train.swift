import CKernels
import Distill
import Foundation
import Models
import Tensors

/// What benchmarks/train.py asks for: steps of one model on sequences of given lengths.
struct TrainRequest: Decodable {
    /// See `configuration`.
    var shape: String
    var compute: ComputeType
    /// Tokens of each sequence of a step.
    var lengths: [Int]
    /// Sequences run at a time; all where it is not given.
    var microBatch: Int?
    /// MiB that the logits of a chunk of rows may take.
    var headMemory: Int?
    var seed: UInt64?

    private enum CodingKeys: String, CodingKey {
        case shape, compute, lengths, seed
        case microBatch = "micro_batch"
        case headMemory = "head_memory"
    }

    /// The sizes of the shape; nil for an unknown one.
    var configuration: ModelConfiguration? {
        switch shape {
        case "gpt2-124m":
            .gpt2(
                hiddenSize: 768,
                layerCount: 12,
                headCount: 12,
                vocabularySize: 50_257,
                maxPositions: 1_024
            )
        case "gpt2-30m":
            .gpt2(
                hiddenSize: 384,
                layerCount: 6,
                headCount: 6,
                vocabularySize: 50_257,
                maxPositions: 512
            )
        case "smollm2-135m":
            .newFamily(
                "llama",
                hiddenSize: 576,
                layerCount: 30,
                headCount: 9,
                keyValueHeadCount: 3,
                intermediateSize: 1_536,
                vocabularySize: 49_152,
                maxPositions: 2_048
            )
        default: nil
        }
    }
}

/// The Retort side of benchmarks/train.py: `benchmarks train REQUEST`, in JSON.
///
/// Makes a model with random weights, then takes one optimiser step for every line that it reads, with
/// the cross-entropy of every position but the last of a sequence, and answers with its seconds and loss
/// and the largest resident memory of the process so far.
func serveTraining(_ arguments: [String]) throws {
    guard arguments.count == 1,
        let request = try? JSONDecoder().decode(
            TrainRequest.self,
            from: Data(arguments[0].utf8)
        ), let configuration = request.configuration
    else {
        print("usage: benchmarks train '{\"shape\": \"gpt2-124m\", ...}', see train.py")
        exit(64)
    }
    ck_set_kept_memory(Trainer.keptMemory)
    let mib = 1 / 1_048_576.0
    let model = try TransformerModel.random(configuration, seed: request.seed ?? 1)
    var settings = DistillSettings(cache: "-", output: "-", student: "-")
    settings.compute = request.compute
    settings.headMemoryMiB = request.headMemory ?? settings.headMemoryMiB
    let training = try PlainTraining(model: model, settings: settings)
    let examples = request.lengths.enumerated().map { index, length in
        var random = RandomNumbers(seed: 1, purpose: "sequence", counter: UInt64(index))
        return PlainTraining.Example(
            tokens: (0..<length).map { _ in
                UInt32(random.next() % UInt64(configuration.vocabularySize))
            },
            supervised: 0..<(length - 1)
        )
    }
    let size = request.microBatch ?? examples.count
    let batches = stride(from: 0, to: examples.count, by: size).map {
        Array(examples[$0..<min($0 + size, examples.count)])
    }
    answer(["ready": 1, "resident_mib": Double(peakResidentBytes()) * mib])
    while readLine() != nil {
        let (start, cpu) = (Date(), processorSeconds())
        let result = try training.step(batches)
        answer([
            "seconds": Date().timeIntervalSince(start), "cpu": processorSeconds() - cpu,
            "loss": result.loss, "peak_mib": Double(peakResidentBytes()) * mib,
        ])
    }
}
