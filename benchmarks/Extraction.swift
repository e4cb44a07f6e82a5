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
    answer("{\"ready\": true}")
    while readLine() != nil {
        let start = Date()
        var rows = 0
        try run.finalStates(of: checkpoint, compute: compute) { rows += $0.rows }
        let seconds = Date().timeIntervalSince(start)
        answer("{\"seconds\": \(seconds), \"peak\": \(peakResidentBytes())}")
    }
}

private func answer(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

private func peakResidentBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("VmHWM") {
        return (Int(line.filter(\.isNumber)) ?? 0) << 10
    }
    return 0
}
