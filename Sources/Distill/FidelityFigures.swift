/// How far one option is from the exact distribution at one temperature, over one row or in the mean
/// of many.
///
/// p is the exact distribution, q the option's, s the student's. A number that does not exist or is
/// infinite is nil.
public struct FidelityFigures: Codable, Equatable, Sendable {
    /// Of p, q and s.
    public var temperature: Float
    /// KL(p || q) over the whole vocabulary, nats a row.
    ///
    /// A ghost's mass at temperature 1 is spread evenly over the tokens that are not kept, before q is
    /// tempered. Nil where q is 0 somewhere: renormalised and sampled.
    public var kl: Double?
    /// Top-k alone: KL after all tokens that are not kept were made one, at temperature 1 as the
    /// criterion does it (ghost), or after p was cut to the kept tokens and made to add up to one
    /// (renormalised), nats a row.
    public var klCoarse: Double?
    /// KL(q || p), where KL(p || q) is infinite: renormalised and sampled.
    public var klReverse: Double?
    /// The mass that p has on the tokens that are kept; nil where all are.
    public var keptMass: Double?
    /// Half the sum of |p - q|, q as in `kl`; the tokens that a ghost stands for count as one.
    public var totalVariation: Double?
    /// |g_q - g_p| / |g_p|, the mean over rows.
    ///
    /// g_p is the gradient of KL(p || s) by the student's logits, g_q that of what the criterion makes
    /// of the option: KL(q || s), for a ghost over its k + 1 outcomes.
    public var gradientToken: Double?
    /// The same of sums of g over `batchRows` consecutive rows, the mean over such batches.
    public var gradientBatch: Double?
    /// The same of the sum of g over all rows.
    public var gradientAll: Double?

    enum CodingKeys: String, CodingKey {
        case temperature, kl
        case klCoarse = "kl_coarse"
        case klReverse = "kl_reverse"
        case keptMass = "kept_mass"
        case totalVariation = "total_variation"
        case gradientToken = "gradient_token"
        case gradientBatch = "gradient_batch"
        case gradientAll = "gradient_all"
    }
}

/// What one row says of one option at one temperature.
struct FidelityRow {
    var kl: Double?
    var klCoarse: Double?
    var klReverse: Double?
    var keptMass: Double?
    var totalVariation = 0.0
    /// The square of the gradient's difference times the temperature; |q - p|^2 but for a ghost.
    var squares = 0.0
}

/// Adds up rows of one option at one temperature.
struct FidelityTally {
    private var sums = FidelityRow()
    private var rows = 0
    private var token = 0.0
    private var tokenRows = 0
    private var batch = 0.0
    private var batches = 0

    /// A row whose exact gradient is smaller says nothing of a relative error.
    static let smallestGradient = 1e-6

    /// - Parameter exact: |s - p|^2 of the row.
    mutating func add(_ row: FidelityRow, exact: Double) {
        func plus(_ sum: Double?, _ value: Double?) -> Double? { value.map { (sum ?? 0) + $0 } }
        sums.kl = plus(sums.kl, row.kl)
        sums.klCoarse = plus(sums.klCoarse, row.klCoarse)
        sums.klReverse = plus(sums.klReverse, row.klReverse)
        sums.keptMass = plus(sums.keptMass, row.keptMass)
        sums.totalVariation += row.totalVariation
        rows += 1
        guard exact.squareRoot() >= Self.smallestGradient else { return }
        token += (row.squares / exact).squareRoot()
        tokenRows += 1
    }

    /// The relative error of the summed gradient of a whole batch.
    mutating func add(batch error: Double) {
        batch += error
        batches += 1
    }

    /// - Parameter all: The relative error of the summed gradient of all rows.
    func figures(_ temperature: Float, all: Double?) -> FidelityFigures {
        func mean(_ sum: Double?) -> Double? { rows > 0 ? sum.map { $0 / Double(rows) } : nil }
        return FidelityFigures(
            temperature: temperature,
            kl: mean(sums.kl),
            klCoarse: mean(sums.klCoarse),
            klReverse: mean(sums.klReverse),
            keptMass: mean(sums.keptMass),
            totalVariation: mean(sums.totalVariation),
            gradientToken: tokenRows > 0 ? token / Double(tokenRows) : nil,
            gradientBatch: batches > 0 ? batch / Double(batches) : all,
            gradientAll: all
        )
    }
}

/// A vector of the vocabulary's size, summed over a batch and over all rows: the gradient of a shared
/// bias of the logits, or how far an option's is from it.
final class GradientSum {
    /// (V) of the batch in the making.
    var batch: [Double]
    private var all: [Double]

    init(vocabulary: Int) {
        batch = [Double](repeating: 0, count: vocabulary)
        all = batch
    }

    /// The norm of the batch.
    var batchNorm: Double { Self.norm(batch) }
    /// The norm of all that was closed.
    var norm: Double { Self.norm(all) }

    /// Begins the next batch.
    func close() {
        for index in all.indices { all[index] += batch[index] }
        for index in batch.indices { batch[index] = 0 }
    }

    private static func norm(_ x: [Double]) -> Double {
        var sum = 0.0
        for value in x { sum += value * value }
        return sum.squareRoot()
    }
}
