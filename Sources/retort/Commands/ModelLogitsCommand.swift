import ArgumentParser
import Cache
import Extract
import Foundation
import Models
import Tensors

extension ModelCommand {
    /// Logits and hidden states before any rounding, for people who check against another implementation.
    struct Logits: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a model's logits and final hidden states for given tokens.",
            discussion: """
                TOKENS is a JSON list of lists of token ids. The HDF5 file holds `logits` [tokens, V] and \
                `hidden/final` [tokens, D] (float32, the lists end to end), and `offsets` (int64): where \
                each list begins, and the end. Each list is run by itself.

                Example:
                  retort model logits models/smollm2-135m-instruct.gguf --tokens ids.json \\
                    --output logits.h5
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(help: "A JSON list of lists of token ids.")
        var tokens: String

        @Option(help: "The HDF5 file to write.")
        var output: String

        @Option(help: "Precision of matrix products: f32 or bf16.")
        var compute = ComputeType.f32

        @Flag(help: "Write over an output that is there.")
        var replace = false

        func run() throws {
            let lists = try TokenLists.read(tokens)
            try OutputFile.check(output, replace: replace)
            let teacher = try Checkpoint(URL(fileURLWithPath: model))
            try TokenLists.check(lists, of: tokens, for: teacher.configuration)
            let model = try teacher.model()
            model.pack(compute)
            let head = PackedWeights(model.outputHead.value, compute: compute)
            let offsets = VarlenBatch(lists).offsets
            let count = offsets.last ?? 0
            let hiddenSize = teacher.configuration.hiddenSize
            let file = try ResultFile(
                URL(fileURLWithPath: output),
                [
                    .init("logits", .f32, [count, head.outputs]),
                    .init("hidden/final", .f32, [count, hiddenSize]),
                    .init("offsets", .i64, [offsets.count]),
                ]
            )
            try offsets.map { Int64($0) }.withUnsafeBytes { try file.append("offsets", $0) }
            let progress = ProgressLine("logits", unit: "tokens")
            defer { progress.finish() }
            let groups = VarlenBatch.runs(of: lists.indices, limit: Self.groupTokens) {
                lists[$0].count
            }
            for group in groups {
                if Signals.shouldStop {
                    throw Failure("logits: stopped; nothing was kept", code: Failure.Code.stopped)
                }
                let hidden = model.hiddenStates(VarlenBatch(Array(lists[group])), tape: nil)
                try append(hidden, "hidden/final", to: file)
                try appendLogits(hidden, head, teacher.configuration, to: file)
                progress.update(Double(offsets[group.upperBound]), of: Double(count))
            }
            try file.finish()
            Console.say("\(lists.count) lists, \(count) tokens in \(output)")
        }

        /// Rows of logits in memory at a time.
        private static let headRows = 256
        /// Lists are run together up to about so many tokens.
        private static let groupTokens = 2_048

        private func appendLogits(
            _ hidden: Matrix,
            _ head: PackedWeights,
            _ configuration: ModelConfiguration,
            to file: ResultFile
        ) throws {
            let logits = Matrix(
                uninitialized: min(Self.headRows, hidden.rows),
                head.outputs
            )
            for start in stride(from: 0, to: hidden.rows, by: Self.headRows) {
                let rows = start..<min(start + Self.headRows, hidden.rows)
                let part = logits.slice(rows: 0..<rows.count)
                head.multiply(hidden.slice(rows: rows), into: part)
                configuration.capLogits(part)
                try append(part, "logits", to: file)
            }
        }

        private func append(_ matrix: Matrix, _ name: String, to file: ResultFile) throws {
            let values = UnsafeBufferPointer(start: matrix.base, count: matrix.count)
            try file.append(name, UnsafeRawBufferPointer(values))
        }
    }
}

/// Lists of token ids in a JSON file.
private enum TokenLists {
    /// - Throws: `Failure` (66, 65) naming the file.
    static func read(_ path: String) throws -> [[UInt32]] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Failure("\(path): there is no such file", code: Failure.Code.missing)
        }
        guard let lists = try? JSONDecoder().decode([[UInt32]].self, from: data) else {
            throw Failure(
                "\(path): not a JSON list of lists of token ids, such as [[1, 2], [3]]",
                code: Failure.Code.badData
            )
        }
        guard !lists.isEmpty else {
            throw Failure("\(path): there are no lists in it", code: Failure.Code.badData)
        }
        return lists
    }

    /// - Throws: `Failure` (65) naming the list and the position.
    static func check(
        _ lists: [[UInt32]],
        of path: String,
        for configuration: ModelConfiguration
    ) throws {
        let (vocabulary, limit) = (configuration.vocabularySize, configuration.maxPositions)
        for (index, list) in lists.enumerated() {
            func fail(_ reason: String) -> Failure {
                Failure("\(path): list \(index): \(reason)", code: Failure.Code.badData)
            }
            guard !list.isEmpty else { throw fail("it is empty") }
            guard list.count <= limit else {
                throw fail("\(list.count) tokens, more than the model's \(limit) positions")
            }
            if let position = list.firstIndex(where: { Int($0) >= vocabulary }) {
                throw fail(
                    "position \(position): id \(list[position]) is beyond the model's vocabulary of "
                        + "\(vocabulary)"
                )
            }
        }
    }
}
