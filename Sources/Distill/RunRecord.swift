import Foundation
import Tensors

/// `run.json`: what a run was made of, and where and with what it ran each time that it was started.
package struct RunRecord: Codable, Equatable {
    /// SHA-256 or another fingerprint of everything that went in.
    struct Inputs: Codable, Equatable {
        var cache: String
        var dataset: String
        /// The teacher's weights.
        var teacher: String
        /// The student's first weights, and its tokenizer.
        var student: String
        /// See `student`.
        var tokenizer: String
    }

    /// One start of the program.
    struct Start: Codable, Equatable {
        /// ISO 8601, in UTC.
        var time: String
        /// Steps that were done by then.
        var step: Int
        /// Of Retort, and of the compiler.
        var retort: String
        /// See `retort`.
        var swift: String
        /// The operating system.
        var system: String
        var processor: String
        var processors: Int
        /// Threads that this run uses.
        var threads: Int
        /// OpenBLAS and oneDNN, with the kernels that they chose; nil in records of older versions.
        var libraries: [String]?
        /// Processes that train together; nil in records of older versions.
        var ranks: Int?
        var memoryMiB: Int
        /// The precision that the head products really have.
        var compute: String

        enum CodingKeys: String, CodingKey {
            case time, step, retort, swift, system, processor, processors, threads, ranks, compute
            case libraries
            case memoryMiB = "memory_mib"
        }
    }

    static let file = "run.json"

    var inputs: Inputs
    /// The oldest first.
    var starts: [Start]

    /// The record of a directory; nil where there is none that can be read.
    private static func read(_ directory: URL) -> RunRecord? {
        RunFiles.read(directory.appendingPathComponent(file), limit: 1 << 24)
            .flatMap { try? JSONDecoder().decode(RunRecord.self, from: $0) }
    }

    /// The checksum of the cache that a run was trained from, by its own record.
    package static func cache(of directory: URL) -> String? { read(directory)?.inputs.cache }

    /// The record of a directory with one more start.
    static func adding(_ start: Start, _ inputs: Inputs, in directory: URL) -> RunRecord {
        let old = read(directory)
        // Another run's starts would say nothing of this one.
        let starts = old.map { $0.inputs == inputs ? $0.starts : [] } ?? []
        return RunRecord(inputs: inputs, starts: starts + [start])
    }

    /// A start now, on this machine.
    static func now(step: Int, retort: String, compute: ComputeType, ranks: Int) -> Start {
        let process = ProcessInfo.processInfo
        return Start(
            time: Date().formatted(.iso8601),
            step: step,
            retort: retort,
            swift: MachineFigures.swiftVersion,
            system: process.operatingSystemVersionString,
            processor: MachineFigures.processor ?? "unknown",
            processors: process.activeProcessorCount,
            threads: Threads.count,
            libraries: ProductLibraries.names,
            ranks: ranks,
            memoryMiB: MachineMemory.all >> 20,
            compute: compute.available.rawValue
        )
    }
}
