import Extract
import Foundation
import Models
import Tensors

/// The Retort side of benchmarks/extract.py: loads nothing but names, then runs all tokens through the
/// teacher for every line that it reads, and answers with the time and the peak of resident memory.
func serveExtraction(_ arguments: [String]) throws {
    guard arguments.count == 3, let compute = ComputeType(rawValue: arguments[2]) else {
        print("usage: benchmarks extract MODEL TOKENS.json f32|bf16")
        exit(64)
    }
    let tokens = try JSONDecoder().decode(
        [[UInt32]].self,
        from: Data(contentsOf: URL(fileURLWithPath: arguments[1]))
    )
    let checkpoint = try Checkpoint(URL(fileURLWithPath: arguments[0]))
    let run = TeacherRun(tokens)
    answer("{\"best\": \(bestProduct(compute))}")
    while readLine() != nil {
        let start = Date()
        var rows = 0
        try run.finalStates(of: checkpoint, compute: compute) { rows += $0.rows }
        let seconds = Date().timeIntervalSince(start)
        answer("{\"seconds\": \(seconds), \"peak\": \(peakResidentBytes())}")
    }
}

/// Operations a second of the best of some products of 2,048 cubed, which is what a share of the peak
/// refers to.
private func bestProduct(_ compute: ComputeType) -> Double {
    let size = 2_048
    let weights = PackedWeights(randomMatrix(size, size), compute: compute)
    let (x, out) = (randomMatrix(size, size), Matrix(zeros: size, size))
    return 2 * pow(Double(size), 3) / seconds(8) { weights.multiply(x, into: out) }
}

private func answer(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

func peakResidentBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("VmHWM") {
        return (Int(line.filter(\.isNumber)) ?? 0) << 10
    }
    return 0
}
