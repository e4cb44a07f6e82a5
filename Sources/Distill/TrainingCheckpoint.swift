import Cache
import Foundation
import Models
import Tensors

/// A training run at the end of a step: weights, projectors, moments, and where the data stands.
///
/// A directory `step-000123`. It gets that name when all of it is on the disk.
struct TrainingCheckpoint {
    /// `state.json`.
    struct State: Codable, Equatable {
        /// Steps done, and those whose gradients were applied.
        var step: Int
        var applied: Int
        /// Steps in a row, up to this one, that were skipped; and all that were.
        var skippedInARow: Int
        var skipped: Int
        /// Total losses of the last applied steps; nil in checkpoints of older versions.
        var losses: LossWindow?
        /// The last step's figures, where what is measured after it may still have to be.
        var pending: TrainingMetrics?
        /// The settings that decide the numbers, and the cache's checksum.
        var settings: [String: String]
        var cache: String
        /// SHA-256 of each file.
        var files: [String: String]
    }

    static let modelFile = "model.safetensors"
    static let projectorFile = "projectors.safetensors"
    static let optimizerFile = "optimizer.safetensors"
    /// Of the averaged weights, where they are kept.
    static let averageFile = "average.safetensors"
    static let stateFile = "state.json"

    let directory: URL
    let state: State

    /// A checkpoint that is there.
    ///
    /// - Throws: `DistillError.badCheckpoint` when its state cannot be read.
    init(_ directory: URL) throws {
        self.directory = directory
        do {
            let data = try Data(contentsOf: directory.appendingPathComponent(Self.stateFile))
            state = try JSONDecoder().decode(State.self, from: data)
        } catch {
            throw DistillError.badCheckpoint(path: directory.path, reason: "state.json: \(error)")
        }
    }

    /// The name of a step's checkpoint.
    static func name(ofStep step: Int) -> String { "step-" + String(format: "%06d", step) }

    /// Names of complete checkpoints, the oldest first.
    static func names(in directory: URL) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0.hasPrefix("step-") && Int($0.dropFirst(5)) != nil }.sorted {
            (Int($0.dropFirst(5)) ?? 0) < (Int($1.dropFirst(5)) ?? 0)
        }
    }

    /// Writes a checkpoint and removes all but the newest `keep`, and those of later steps.
    ///
    /// - Throws: `DistillError.file`; the earlier checkpoints are then untouched.
    static func write(
        _ training: StudentTraining,
        state: State,
        to directory: URL,
        keep: Int
    ) throws {
        try RunFiles.makeDirectory(directory)
        removeLeftovers(in: directory)
        let name = name(ofStep: state.step)
        let temporary = directory.appendingPathComponent(".\(name).tmp")
        do {
            try writeFiles(of: training, state: state, to: temporary)
        } catch {
            // Half a checkpoint would take the space that the next try needs.
            try? FileManager.default.removeItem(at: temporary)
            throw error
        }
        let final = directory.appendingPathComponent(name)
        try? FileManager.default.removeItem(at: final)
        guard rename(temporary.path, final.path) == 0 else {
            throw RunFiles.unwritable(final.path, errno)
        }
        try? RunFiles.flush(directory)
        // Later ones are damaged, or the run would have gone on from them.
        let names = names(in: directory)
        let later = names.filter { (Int($0.dropFirst(5)) ?? 0) > state.step }
        for old in later + names.dropLast(later.count).dropLast(keep) {
            try? FileManager.default.removeItem(at: directory.appendingPathComponent(old))
        }
    }

    private static func writeFiles(
        of training: StudentTraining,
        state: State,
        to directory: URL
    ) throws {
        try RunFiles.makeDirectory(directory)
        try writeParameters(training.model.trainedParameters, to: directory, modelFile)
        try writeParameters(
            training.criterion.projectors.flatMap(\.parameters),
            to: directory,
            projectorFile
        )
        let moments = training.optimizer.slots.enumerated().flatMap { index, slot in
            [("m", slot.m), ("v", slot.v)].map { (kind, matrix) in
                (
                    name: key(kind, index, slot.parameter), shape: slot.parameter.shape,
                    values: UnsafeBufferPointer(start: matrix.base, count: matrix.count)
                )
            }
        }
        let url = directory.appendingPathComponent(optimizerFile)
        try RunFiles.writing(url) { try SafetensorsWriter.write(moments, type: .f32, to: url) }
        var state = state
        var files = [modelFile, projectorFile, optimizerFile]
        if let average = training.average {
            let url = directory.appendingPathComponent(averageFile)
            let tensors = average.entries.enumerated().map { index, entry in
                (
                    name: key("ema", index, entry.parameter), shape: entry.parameter.shape,
                    values: UnsafeBufferPointer(
                        start: entry.average.base,
                        count: entry.average.count
                    )
                )
            }
            try RunFiles.writing(url) { try SafetensorsWriter.write(tensors, type: .f32, to: url) }
            files.append(averageFile)
        }
        for file in files {
            state.files[file] = try sha256(of: directory.appendingPathComponent(file))
        }
        try RunFiles.write(
            RunFiles.json(state),
            to: directory.appendingPathComponent(stateFile)
        )
    }

    /// Puts weights, projectors and moments back.
    ///
    /// - Throws: `DistillError.badCheckpoint` when a file is not the one that was written.
    func restore(_ training: StudentTraining) throws {
        for (file, digest) in state.files {
            let url = directory.appendingPathComponent(file)
            guard (try? sha256(of: url)) == digest else {
                throw DistillError.badCheckpoint(path: url.path, reason: "damaged or missing")
            }
        }
        try read(Self.modelFile, training.model.trainedParameters.map { ($0.name, $0.value) })
        try read(
            Self.projectorFile,
            training.criterion.projectors.flatMap(\.parameters).map { ($0.name, $0.value) }
        )
        try read(
            Self.optimizerFile,
            training.optimizer.slots.enumerated().flatMap { index, slot in
                [
                    (Self.key("m", index, slot.parameter), slot.m),
                    (Self.key("v", index, slot.parameter), slot.v),
                ]
            }
        )
        if let average = training.average {
            try read(
                Self.averageFile,
                average.entries.enumerated().map { index, entry in
                    (Self.key("ema", index, entry.parameter), entry.average)
                }
            )
        }
        training.optimizer.applied = state.applied
        training.weightsChanged()
    }

    private func read(_ file: String, _ targets: [(name: String, matrix: Matrix)]) throws {
        guard !targets.isEmpty else { return }
        let path = directory.appendingPathComponent(file).path
        let source = try SafetensorsFile(path: path)
        for (name, matrix) in targets {
            guard let info = source.info(name), info.elementCount == matrix.count else {
                throw DistillError.badCheckpoint(
                    path: path,
                    reason: "\(name) is missing or of another size"
                )
            }
            try source.read(
                name,
                into: UnsafeMutableBufferPointer(start: matrix.base, count: matrix.count)
            )
        }
    }

    /// Writes parameters as one safetensors file.
    static func writeParameters(
        _ parameters: [Parameter],
        to directory: URL,
        _ file: String
    ) throws {
        let url = directory.appendingPathComponent(file)
        let tensors = parameters.map {
            (
                name: $0.name, shape: $0.shape,
                values: UnsafeBufferPointer(start: $0.value.base, count: $0.value.count)
            )
        }
        try RunFiles.writing(url) { try SafetensorsWriter.write(tensors, type: .f32, to: url) }
    }

    /// Student and projectors may share names, so the slot's number is part of the key.
    private static func key(_ kind: String, _ index: Int, _ parameter: Parameter) -> String {
        "\(kind).\(index).\(parameter.name)"
    }

    private static func removeLeftovers(in directory: URL) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        for name in names where name.hasPrefix(".step-") && name.hasSuffix(".tmp") {
            try? FileManager.default.removeItem(at: directory.appendingPathComponent(name))
        }
    }
}
