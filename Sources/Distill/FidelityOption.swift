import Cache
import Tensors

/// A way to keep what the teacher said of a row, as `CacheFidelity` compares them.
public enum FidelityOption: Hashable, Sendable {
    /// Hidden states of this type; the head is multiplied in float32.
    case hidden(CacheSignals.HiddenType)
    /// Hidden states and head in bf16: what a training step with `compute: bf16` makes of them.
    case hiddenBF16Head
    /// The k most likely tokens, and one more that has the mass of all others.
    case topKGhost(Int)
    /// The k most likely tokens, made to add up to one.
    case topKRenormalised(Int)
    /// So many draws at temperature 1: the share of the draws is the probability.
    case sampled(Int)
    /// All log-probabilities in this type.
    case fullLogits(CacheSignals.LogitType)
    /// The hidden states that the cache has, where the exact ones are the teacher's own.
    case asStored(CacheSignals.HiddenType)
    /// The yardstick: the teacher run in bf16, head and all, which nobody would call another teacher.
    case teacherInBF16

    /// For tables.
    public var name: String {
        switch self {
        case .hidden(let type): "hidden \(type.rawValue)"
        case .hiddenBF16Head: "hidden bf16, bf16 head"
        case .topKGhost(let k): "top-\(k), ghost"
        case .topKRenormalised(let k): "top-\(k), renormalised"
        case .sampled(let draws): "sampled, \(draws) draws"
        case .fullLogits(let type): "full logits \(type.rawValue)"
        case .asStored(let type): "this cache (hidden \(type.rawValue))"
        case .teacherInBF16: "teacher run in bf16"
        }
    }

    /// What is on the disk for it; nil for the yardstick.
    var signal: StorageTrial.Signal? {
        switch self {
        case .hidden(let type), .asStored(let type): .hidden(type)
        case .hiddenBF16Head: .hidden(.bf16)
        case .topKGhost(let k), .topKRenormalised(let k): .topK(k)
        case .sampled: .samples
        case .fullLogits(let type): .fullLogits(type)
        case .teacherInBF16: nil
        }
    }

    /// Whether it has a probability for every token, by way of logits.
    var isDense: Bool {
        switch self {
        case .topKGhost, .topKRenormalised, .sampled: false
        default: true
        }
    }
}

/// Whose hidden states are taken for exact.
public enum FidelityReference: Equatable, Sendable {
    /// The teacher's, run in float32.
    case teacher
    /// Those that the cache has, in the type in which it has them.
    case cache(CacheSignals.HiddenType)

    /// For tables.
    var name: String {
        switch self {
        case .teacher: "the teacher, run in f32"
        case .cache(let type): "the cache's hidden states, \(type.rawValue)"
        }
    }

    /// Of log-probabilities.
    static let tooSmall = "a log-probability is too small for it"

    /// Why an option cannot be told from the exact one; nil where it can.
    func limit(_ option: FidelityOption) -> String? {
        switch option {
        case .hidden(let type):
            guard case .cache(let stored) = self else { return nil }
            let held: [CacheSignals.HiddenType]
            switch stored {
            case .f32: return nil
            case .f16: held = [.f32, .f16]
            // All numbers of bf16 that are neither tiny nor huge are f16 numbers.
            case .bf16: held = [.f32, .bf16, .f16]
            case .int8: held = [.f32, .int8]
            }
            guard held.contains(type) else { return nil }
            return
                "the cache has hidden states in \(stored.rawValue), which \(type.rawValue) keeps as "
                + "they are; give --teacher"
        case .hiddenBF16Head, .teacherInBF16:
            return ComputeType.hasBF16 ? nil : "this processor does not multiply bf16"
        default: return nil
        }
    }

    /// Whether the packed bytes of an option would be those of the true numbers.
    ///
    /// A wide type packs numbers that were rounded to a narrow one far too well.
    func tellsBytes(_ option: FidelityOption) -> Bool {
        guard case .cache(let stored) = self, case .hidden(let type) = option else { return true }
        return type == stored || limit(option) == nil
    }
}

/// What is compared.
public struct FidelitySettings: Sendable {
    /// Of both sides.
    public var temperatures: [Float] = [1, 2]
    /// Rows whose gradients are added up before they are compared.
    public var batchRows = 1024
    /// Most likely tokens kept; those not below the vocabulary's size are left out.
    public var topK = [16, 64, 256, 1024]
    /// Draws of a row, and what decides them together with example and position.
    public var samples = [16, 64, 256]
    /// See `samples`.
    public var sampleSeed: UInt64 = 0
    /// Bytes that the vocabulary-sized matrices of a run of rows may take.
    public var memoryLimit = 128 << 20

    /// The student whose gradients are compared has the exact logits divided by this.
    ///
    /// The nearer to 1, the smaller the exact gradient that errors are held against.
    public var softness: Float = 2

    /// Every option, at temperatures 1 and 2.
    public init() {}

    /// Every option that a vocabulary of this size has, in order.
    func options(vocabulary: Int, _ reference: FidelityReference) -> [FidelityOption] {
        var options: [FidelityOption] = [.f32, .f16, .bf16, .int8].map { .hidden($0) }
        options.append(.hiddenBF16Head)
        options += topK.filter { $0 < vocabulary }.sorted().flatMap {
            [.topKGhost($0), .topKRenormalised($0)] as [FidelityOption]
        }
        options += samples.sorted().map { .sampled($0) }
        options += [.fullLogits(.f16), .fullLogits(.bf16)]
        return options
    }
}
