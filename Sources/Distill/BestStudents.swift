import Foundation

/// The best students of a run so far: directories `best-000123` beside its checkpoints.
///
/// They are all that is known of the best: each says in `best.json` what was measured of it.
struct BestStudents {
    /// `best.json`.
    struct Record: Codable, Equatable {
        var step: Int
        /// Means over the held-out split.
        var heldOut: [String: Double]

        enum CodingKeys: String, CodingKey {
            case step
            case heldOut = "held_out"
        }
    }

    /// A student that is there.
    struct Entry: Equatable {
        let directory: URL
        let record: Record
    }

    static let recordFile = "best.json"
    private static let prefix = "best-"

    /// The run's checkpoints.
    let directory: URL
    /// How many are kept.
    let count: Int
    let by: DistillSettings.BestBy

    /// The best first; of two alike the earlier one.
    func entries() -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0.hasPrefix(Self.prefix) }.compactMap { name -> Entry? in
            let url = directory.appendingPathComponent(name)
            guard let data = try? Data(contentsOf: url.appendingPathComponent(Self.recordFile)),
                let record = try? JSONDecoder().decode(Record.self, from: data)
            else { return nil }
            return Entry(directory: url, record: record)
        }.sorted { isBetter($0.record, $1.record) }
    }

    /// Removes what is of a step that will be done again, and what a kill left half made.
    func forget(after step: Int) {
        for entry in entries() where entry.record.step > step { remove(entry.directory) }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        for name in names where name.hasPrefix(".\(Self.prefix)") {
            remove(directory.appendingPathComponent(name))
        }
    }

    /// Keeps a student if it is among the best, and removes those that no longer are.
    ///
    /// - Parameter write: Writes the student into a directory, which gets its name when all is there.
    /// - Returns: Where it lies; nil where others are better.
    /// - Throws: What `write` throws, and `DistillError.file`.
    func offer(_ record: Record, write: (URL) throws -> Void) throws -> URL? {
        guard count > 0, score(record) != nil else { return nil }
        let better = entries().filter { $0.record.step != record.step }
            .count { isBetter($0.record, record) }
        guard better < count else { return nil }
        let name = Self.prefix + String(format: "%06d", record.step)
        let temporary = directory.appendingPathComponent(".\(name).tmp")
        let final = directory.appendingPathComponent(name)
        remove(temporary)
        do {
            try RunFiles.makeDirectory(temporary)
            try write(temporary)
            try RunFiles.write(
                RunFiles.json(record),
                to: temporary.appendingPathComponent(Self.recordFile)
            )
        } catch {
            remove(temporary)
            throw error
        }
        remove(final)
        guard rename(temporary.path, final.path) == 0 else {
            throw RunFiles.unwritable(final.path, errno)
        }
        try? RunFiles.flush(directory)
        for entry in entries().dropFirst(count) { remove(entry.directory) }
        return final
    }

    /// Higher is better; nil where it was not measured, or is no number.
    private func score(_ record: Record) -> Double? {
        let score: Double? =
            switch by {
            case .loss: record.heldOut["total"].map { -$0 }
            case .rougeL: record.heldOut["rouge_l"]
            }
        return score.flatMap { $0.isFinite ? $0 : nil }
    }

    private func isBetter(_ a: Record, _ b: Record) -> Bool {
        (score(a) ?? -.infinity, b.step) > (score(b) ?? -.infinity, a.step)
    }

    private func remove(_ url: URL) { try? FileManager.default.removeItem(at: url) }
}
