import Foundation
import Scores

/// How well a model does on one split of a cache.
public struct EvalReport: Codable, Sendable, Equatable {
    /// What the model is called in tables.
    public var name: String
    /// The split.
    public var split: String
    /// Examples looked at, and those that had to be cut or left out.
    public var examples = 0
    /// See `examples`.
    public var cut = 0
    /// See `examples`.
    public var dropped = 0
    /// Supervised tokens, and the UTF-8 bytes of text that they stand for.
    public var tokens = 0
    /// See `tokens`.
    public var bytes = 0
    /// Mean of -log p(label), in nats a token.
    public var crossEntropy = 0.0
    /// exp(crossEntropy), at most the largest float64; only comparable between models of one
    /// vocabulary.
    public var perplexity = 0.0
    /// Nats a byte of text: comparable between vocabularies.
    public var crossEntropyPerByte = 0.0
    /// The teacher's own, from its cached hidden states, at its own tokens of the same texts.
    public var teacherCrossEntropy: Double?
    /// See `teacherCrossEntropy`.
    public var teacherCrossEntropyPerByte: Double?
    /// KL(teacher || student) over the whole vocabulary, nats a token; nil for two vocabularies.
    public var kl: Double?
    /// KL(teacher || student) between the distributions of the next *byte*, nats a position.
    ///
    /// It runs over positions before which both have read the same text. A model's probability of a
    /// byte is the sum over the tokens that begin with it; the end of the sequence is one more
    /// outcome; other special tokens are left out and the rest is made to sum to one.
    public var klNextByte: Double?
    /// The share of those positions where both find the same byte the most likely.
    public var nextByteAgreement: Double?
    /// The number of those positions.
    public var alignedPositions = 0
    /// Mean ROUGE-L F1 of generated answers, words compared by their stems; nil where none were generated.
    public var rougeL: Double?
    /// The share of generated answers that are the reference word for word.
    public var exactMatch: Double?
    /// Answers generated.
    public var answers = 0
    /// The share of labels that are the most likely token.
    public var accuracy: Double?
    /// KL(student || teacher), as `kl`.
    public var reverseKL: Double?
    /// KL(student || teacher), as `klNextByte`.
    public var reverseKLNextByte: Double?
    /// The share of tokens where the student's most likely token is the teacher's; nil for two vocabularies.
    public var topOneAgreement: Double?
    /// The share of tokens where the teacher's most likely token is one of the student's five.
    public var topFiveAgreement: Double?
    /// How differently student and teacher arrange the tokens of a text, by cosines and by inner products:
    /// means over examples, at the positions before which both have read the same text.
    public var cosineStructure: Double?
    /// See `cosineStructure`.
    public var innerProductStructure: Double?
    /// Linear CKA of their final hidden states at those positions, 0 to 1.
    public var linearCKA: Double?
    /// Of `dskd_cma`: the share of the student's tokens whose strongest teacher token overlaps the same
    /// characters, and what that share would be if each looked anywhere; nil for other criteria.
    public var alignmentQuality: Double?
    /// See `alignmentQuality`.
    public var alignmentChance: Double?
    /// Of the most likely token; nil in reports of older versions.
    public var calibration: Calibration?
    /// The 95 % intervals of the means above, by their names here.
    public var intervals: [String: Estimate]?
    /// What the baseline is called, and how this model differs from it.
    public var baseline: String?
    /// See `baseline`.
    public var differences: [String: EvalDifference]?

    enum CodingKeys: String, CodingKey {
        case name, split, examples, cut, dropped, tokens, bytes, perplexity, kl, rougeL, answers
        case accuracy, calibration, intervals, baseline, differences
        case exactMatch = "exact_match"
        case cosineStructure = "cosine_structure_distance"
        case innerProductStructure = "inner_product_structure_distance"
        case linearCKA = "linear_cka"
        case alignmentQuality = "cma_alignment"
        case alignmentChance = "cma_alignment_by_chance"
        case reverseKL = "reverse_kl"
        case reverseKLNextByte = "reverse_kl_next_byte"
        case topOneAgreement = "top1_agreement"
        case topFiveAgreement = "top5_agreement"
        case crossEntropy = "cross_entropy"
        case crossEntropyPerByte = "cross_entropy_per_byte"
        case teacherCrossEntropy = "teacher_cross_entropy"
        case teacherCrossEntropyPerByte = "teacher_cross_entropy_per_byte"
        case klNextByte = "kl_next_byte"
        case nextByteAgreement = "next_byte_agreement"
        case alignedPositions = "aligned_positions"
    }

    /// An empty report.
    public init(name: String, split: String) {
        self.name = name
        self.split = split
    }

    /// Fills in the means of the sum of -log p(label), given `tokens` and `bytes`.
    mutating func setLoss(_ sum: Double) {
        crossEntropy = Self.mean(sum, tokens)
        perplexity = Self.finite(Foundation.exp(crossEntropy))
        crossEntropyPerByte = Self.mean(sum, bytes)
    }

    /// `sum / count`, as `finite` has it.
    static func mean(_ sum: Double, _ count: Int) -> Double { finite(sum / Double(max(1, count))) }

    /// JSON has no infinity and no NaN: both are the largest number here, worse than any other.
    static func finite(_ value: Double) -> Double {
        value.isFinite ? value : .greatestFiniteMagnitude
    }
}
