import Scores

/// How much of what cross-model attention matches stands at the same place of the text.
///
/// The characters of a student's token are those of the answer that it stands for; its strongest teacher token is
/// right where the two share a byte. Tokens without text (the end of the sequence) do not count, nor what
/// one side has not (it was cut, or spells the text in another way from there on).
public struct AlignmentOverlap: Codable, Sendable, Equatable {
    /// The student's tokens that count.
    public var tokens = 0
    /// Those of them whose strongest teacher token overlaps.
    public var overlapping = 0
    /// How many would by chance: for each token, the share of the teacher's tokens that overlap it.
    public var chance = 0.0

    /// - Parameters:
    ///   - student: The bytes of each of n labels, in order; none for a special token.
    ///   - teacher: The same for the teacher's m labels.
    ///   - strongest: For each of n, the teacher's position of the largest weight.
    init(student: [[UInt8]], teacher: [[UInt8]], strongest: [Int]) {
        precondition(strongest.count == student.count, "one place for each token")
        let common = zip(student.joined(), teacher.joined()).prefix { $0 == $1 }.count
        let theirs = Self.spans(teacher)
        for (span, place) in zip(Self.spans(student), strongest)
        where !span.isEmpty && span.upperBound <= common {
            tokens += 1
            overlapping += theirs[place].overlaps(span) ? 1 : 0
            chance += Double(theirs.count { $0.overlaps(span) }) / Double(theirs.count)
        }
    }

    private static func spans(_ texts: [[UInt8]]) -> [Range<Int>] {
        var end = 0
        return texts.map { text in
            defer { end += text.count }
            return end..<(end + text.count)
        }
    }
}

extension Evaluator.Evaluation {
    /// Adds an example's part in how well tokens are matched.
    public mutating func add(_ example: ExampleAlignment) {
        let overlap = example.overlap
        alignmentChance += overlap.chance
        shares.add(
            .alignmentQuality,
            example.id,
            sum: Double(overlap.overlapping),
            weight: Double(overlap.tokens)
        )
    }

    /// Puts into the report what was added.
    public mutating func finishAlignment() {
        let tokens = shares.total(.alignmentQuality).weight
        report.alignmentQuality = shares.mean(.alignmentQuality)
        report.alignmentChance = tokens > 0 ? alignmentChance / tokens : nil
        let measure = EvalMeasure.alignmentQuality
        report.intervals?[measure.rawValue] = shares.interval(measure)
    }
}
