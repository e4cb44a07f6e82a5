/// What is measured of a model over examples, each a mean that has an interval.
public enum EvalMeasure: String, Codable, CaseIterable, Sendable {
    /// -log p(label), nats a token.
    case crossEntropy = "cross_entropy"
    /// The same, nats a byte of text.
    case crossEntropyPerByte = "cross_entropy_per_byte"
    /// The share of labels that are the most likely token.
    case accuracy
    /// KL(teacher || student) over the whole vocabulary, nats a token.
    case kl
    /// KL(student || teacher).
    case reverseKL = "reverse_kl"
    /// The share of tokens where both find the same token the most likely.
    case topOneAgreement = "top1_agreement"
    /// The share of tokens where the teacher's most likely token is one of the student's five.
    case topFiveAgreement = "top5_agreement"
    /// KL(teacher || student) between the distributions of the next byte, nats a position.
    case klNextByte = "kl_next_byte"
    /// KL(student || teacher) between them.
    case reverseKLNextByte = "reverse_kl_next_byte"
    /// The share of positions where both find the same byte the most likely.
    case nextByteAgreement = "next_byte_agreement"
    /// How differently both arrange the tokens of a text: `StructureDistance.cosine`, a mean over examples.
    case cosineStructure = "cosine_structure_distance"
    /// The same of inner products: `StructureDistance.innerProduct`.
    case innerProductStructure = "inner_product_structure_distance"
    /// The share of the student's tokens whose strongest teacher token, as cross-model attention has learnt it,
    /// overlaps the same characters: `AlignmentOverlap`.
    case alignmentQuality = "cma_alignment"
    /// ROUGE-L F1 of generated answers, words compared by their stems.
    case rougeL
    /// The share of generated answers that are a reference word for word.
    case exactMatch = "exact_match"

    /// Whether a larger mean is the better one.
    public var isHigherBetter: Bool {
        switch self {
        case .crossEntropy, .crossEntropyPerByte, .kl, .reverseKL, .klNextByte, .reverseKLNextByte,
            .cosineStructure, .innerProductStructure:
            false
        case .accuracy, .topOneAgreement, .topFiveAgreement, .nextByteAgreement, .alignmentQuality,
            .rougeL, .exactMatch:
            true
        }
    }
}
