import Foundation
import Ranks

extension CriterionSums {
    /// The sums of all ranks together, added in the order of the ranks: the same bits everywhere.
    ///
    /// A rank without positions may lack names that others have.
    func total(over ranks: any Communicator) -> CriterionSums {
        guard ranks.count > 1 else { return self }
        var all = CriterionSums()
        for bytes in ranks.gather(encoded) { all.add(CriterionSums(encoded: bytes)) }
        return all
    }

    /// A line for each name, the number's bits before it; the positions are the first.
    private var encoded: [UInt8] {
        var lines = ["\(positions)"]
        for (name, value) in values { lines.append("\(value.bitPattern) \(name)") }
        return Array(lines.joined(separator: "\n").utf8)
    }

    private init(encoded: [UInt8]) {
        self.init()
        let lines = String(decoding: encoded, as: UTF8.self).split(separator: "\n")
        positions = lines.first.flatMap { Int($0) } ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let bits = UInt64(parts[0]) else { continue }
            values[String(parts[1])] = Double(bitPattern: bits)
        }
    }
}
