import Foundation

/// Everything that decides a simulation, under the keys of a pipeline's `simulation:` stage.
///
/// The defaults are the paper's (Zhang et al. 2024, figure 1) but for `reduction` and `temperature`, for
/// which docs/simulation.md has the reasons.
public struct SimulationSettings: Codable, Sendable, Equatable {
    /// What the divergences of the points are made one loss by, as PyTorch names it.
    public enum Reduction: String, Codable, Sendable, CaseIterable {
        /// A point moves as if it were alone.
        case sum
        /// A point moves as many times more slowly as there are points.
        case mean
    }

    /// The directory that the pictures and numbers go to.
    public var output: String
    /// Points in the plane of the teacher, and as many of the student: point i is to become point i.
    public var points = 100
    /// Rows of every head.
    public var classes = 10_000
    /// Steps of plain SGD.
    public var steps = 1_000
    /// Of the student's points and of its head.
    public var learningRate: Float = 1
    /// A name of `Reduction`.
    public var reduction = Reduction.sum.rawValue
    /// Divides the logits of both sides.
    public var temperature: Float = 4
    /// Names of `Divergence`, in the order of the table.
    public var divergences = Divergence.allCases.map(\.rawValue)
    /// Of the points and heads that both runs of every divergence start from.
    public var seed: UInt64 = 1
    /// Added to both coordinates of the student's standard normal points.
    public var studentMean: Float = 3
    /// Standard deviation of the teacher's points around zero.
    public var teacherDeviation: Float = 2

    /// The keys of the settings file.
    public enum CodingKeys: String, CodingKey, CaseIterable {
        /// One for each property, in snake case.
        case output, points, classes, steps, reduction, temperature, divergences, seed
        /// See `output`.
        case learningRate = "learning_rate"
        /// See `output`.
        case studentMean = "student_mean"
        /// See `output`.
        case teacherDeviation = "teacher_deviation"
    }

    /// The paper's simulation; everything can be set afterwards.
    public init(output: String) {
        self.output = output
    }

    /// Keys that are not there keep their defaults.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        output = try c.decode(String.self, forKey: .output)
        func set<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
            value = try c.decodeIfPresent(T.self, forKey: key) ?? value
        }
        try set(.points, &points)
        try set(.classes, &classes)
        try set(.steps, &steps)
        try set(.learningRate, &learningRate)
        try set(.reduction, &reduction)
        try set(.temperature, &temperature)
        try set(.divergences, &divergences)
        try set(.seed, &seed)
        try set(.studentMean, &studentMean)
        try set(.teacherDeviation, &teacherDeviation)
    }

    /// Refuses what makes no sense, before anything is made.
    ///
    /// - Throws: `SimulationError.badSetting`, with the key and the remedy; `DistillError.unknownName`.
    public func validate() throws {
        func require(_ holds: Bool, _ key: CodingKeys, _ value: String, _ remedy: String) throws {
            if !holds {
                throw SimulationError.badSetting(key: key.rawValue, value: value, remedy: remedy)
            }
        }
        try require(!output.isEmpty, .output, "an empty text", "name a directory")
        for (key, value, range) in [
            (CodingKeys.points, points, 2...2_000), (.classes, classes, 2...1_000_000),
            (.steps, steps, 1...1_000_000),
        ] {
            try require(
                range.contains(value),
                key,
                "\(value)",
                "give \(range.lowerBound) to \(range.upperBound)"
            )
        }
        for (key, value) in [
            (CodingKeys.learningRate, learningRate), (.temperature, temperature),
            (.teacherDeviation, teacherDeviation),
        ] {
            try require(
                value > 0 && value.isFinite,
                key,
                "\(value)",
                "give a number above 0"
            )
        }
        try require(studentMean.isFinite, .studentMean, "\(studentMean)", "give a number")
        try requireName(
            reduction,
            among: Reduction.allCases.map(\.rawValue),
            kind: "reduction"
        )
        let known = Divergence.allCases.map(\.rawValue)
        try require(
            !divergences.isEmpty,
            .divergences,
            "an empty list",
            "name one or more of \(known.joined(separator: ", "))"
        )
        for (index, name) in divergences.enumerated() {
            try requireName(name, among: known, kind: "divergence")
            try require(
                !divergences[..<index].contains(name),
                .divergences,
                "\"\(name)\" twice",
                "name it once"
            )
        }
    }

    /// The settings that decide the numbers of one divergence: not where they go, nor which others
    /// there are.
    func fingerprint() throws -> [String: String] {
        let data = try JSONEncoder().encode(self)
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        var lines: [String: String] = [:]
        for key in CodingKeys.allCases where key != .output && key != .divergences {
            lines[key.rawValue] = object[key.rawValue].map { "\($0)" }
        }
        return lines
    }
}

/// What can go wrong in a simulation, besides its files.
public enum SimulationError: Error, Equatable, CustomStringConvertible {
    /// A setting that makes no sense.
    case badSetting(key: String, value: String, remedy: String)
    /// The points left all bounds.
    case diverged(divergence: String, heads: String, step: Int)

    /// Where it went wrong, what was found, and what to do.
    public var description: String {
        switch self {
        case .badSetting(let key, let value, let remedy):
            "simulation.\(key): \(value) makes no sense; \(remedy)"
        case .diverged(let divergence, let heads, let step):
            "\(divergence), \(heads): the numbers were infinite or undefined after step \(step); "
                + "lower simulation.learning_rate"
        }
    }
}
