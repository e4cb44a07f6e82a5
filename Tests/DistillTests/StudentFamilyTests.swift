import Cache
import Foundation
import Testing
import Tokenizers

@testable import Distill
@testable import Models

@Suite("Students of every architecture")
struct StudentFamilyTests {
    /// A tiny model of a family, with what sets the family apart.
    private func configuration(_ family: String, vocabulary: Int) -> ModelConfiguration {
        guard family != "gpt2" else {
            return .gpt2(
                hiddenSize: 8,
                layerCount: 2,
                headCount: 2,
                vocabularySize: vocabulary,
                maxPositions: 96
            )
        }
        var c = ModelConfiguration(
            modelType: family,
            hiddenSize: 8,
            layerCount: 2,
            headCount: 2,
            keyValueHeadCount: 1,
            headSize: 4,
            intermediateSize: 16,
            vocabularySize: vocabulary,
            maxPositions: 96,
            normEpsilon: 1e-5,
            tiesEmbeddings: false
        )
        switch family {
        case "gpt_neox":
            c.keyValueHeadCount = 2
            c.rotarySize = 2
            c.parallelResidual = true
            c.attentionBias = true
            c.activation = .gelu
        case "qwen2":
            c.attentionBias = true
        case "gemma2", "gemma3_text":
            c.tiesEmbeddings = true
            c.activation = .geluTanh
            c.queryScalar = 4
            c.embeddingScale = Float(8).squareRoot()
            c.slidingWindow = 16
            c.layerKinds = [.sliding, .full]
            if family == "gemma2" {
                (c.attentionSoftCap, c.logitSoftCap) = (2, 0.25)
            } else {
                c.localRopeTheta = 1_000
            }
        default: break
        }
        return c
    }

    @Test(
        "a few steps lower the loss, and the exported student has the loss of the trained one",
        arguments: ArchitectureRegistry.names,
        ["sft", "dskd"]
    )
    func trains(family: String, criterion: String) throws {
        let world = try TinyWorld(softCap: criterion == "dskd" ? 4 : nil)
        defer { world.remove() }
        let tokenizer = try TinyWorld.tokenizer(merges: false)
        let wanted = configuration(family, vocabulary: tokenizer.vocabularySize)
        var settings = DistillSettings(
            cache: world.reader.directory.path,
            output: world.directory.appendingPathComponent("run").path,
            student: "tiny"
        )
        settings.criterion = criterion
        // Every step sees all of the split.
        (settings.steps, settings.batchExamples) = (4, 11)
        (settings.maxLength, settings.maxPromptLength) = (64, 24)
        (settings.warmupSteps, settings.checkpointEvery) = (0, 0)
        settings.learningRate = 1e-3
        let trainer = try Trainer(
            settings: settings,
            model: try TransformerModel.random(wanted, seed: 3),
            tokenizer: tokenizer,
            cache: world.reader
        )
        var losses: [Double] = []
        var last: TrainingMetrics?
        _ = try trainer.run(progress: { metrics in
            losses.append(metrics.losses["total"] ?? .nan)
            last = metrics
        })
        #expect(losses.count == 4)
        for (before, after) in zip(losses, losses.dropFirst()) {
            #expect(after < before, "\(losses)")
        }

        let student = URL(fileURLWithPath: settings.output).appendingPathComponent("student")
        let checkpoint = try Checkpoint(student)
        #expect(checkpoint.configuration == wanted)
        var options = Evaluator.Options()
        (options.maxLength, options.maxPromptLength) = (64, 24)
        let report = try Evaluator(
            world.reader,
            teacherTokenizer: tokenizer,
            options: options
        ).evaluate(
            "student",
            model: try checkpoint.model(),
            tokenizer: Tokenizer(directory: student)
        ).report
        let heldOut = try required(last?.heldOut?["ce"])
        #expect(abs(report.crossEntropy - heldOut) < 1e-5)
    }
}
