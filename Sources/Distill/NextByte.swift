import Foundation
import Tokenizers

/// The 513 outcomes by which models with any two vocabularies can be compared: the first byte of the
/// next token, or the end of the sequence.
///
/// Most tokens begin with a space, which says little. So a space counts together with the byte after it:
/// " t" and " s" are two outcomes, and a token that is a space alone is a third.
struct NextByteBuckets {
    /// Buckets that count: 256 bytes, 256 bytes after a space, and the end.
    static let count = 513
    /// The bucket of the end of the sequence.
    static let end = 512
    /// Where the rest goes: special tokens other than the end, and ids without text.
    static let dropped = 513
    /// The bucket of each token id.
    let bucketOfToken: [UInt16]

    /// - Parameter vocabulary: Rows of the head, which may be more than the tokenizer has tokens.
    init(_ tokenizer: Tokenizer, vocabulary: Int) {
        let space: UInt8 = 0x20
        bucketOfToken = (0..<UInt32(vocabulary)).map { id in
            if id == tokenizer.endOfSequence { return UInt16(Self.end) }
            let bytes = tokenizer.bytes(of: id)
            guard let first = bytes.first else { return UInt16(Self.dropped) }
            return first == space && bytes.count > 1 ? 256 + UInt16(bytes[1]) : UInt16(first)
        }
    }

    /// KL(p || q) in nats; the dropped mass of each side is left out and the rest made to sum to one.
    static func divergence(
        _ p: UnsafeBufferPointer<Float>,
        _ q: UnsafeBufferPointer<Float>
    ) -> Double {
        let (sumP, sumQ) = (p.reduce(0.0) { $0 + Double($1) }, q.reduce(0.0) { $0 + Double($1) })
        guard sumP > 0, sumQ > 0 else { return 0 }
        var sum = 0.0
        for (a, b) in zip(p, q) where a > 0 {
            let (a, b) = (Double(a) / sumP, max(Double(b) / sumQ, 1e-30))
            sum += a * Foundation.log(a / b)
        }
        return sum
    }
}

/// Pairs of positions (student i, teacher j) of one example before which both have the same text.
///
/// - Parameters:
///   - student: The bytes of each label, in order; none for a special token.
///   - teacher: The same for the teacher.
func alignedPositions(student: [[UInt8]], teacher: [[UInt8]]) -> [(Int, Int)] {
    let (a, b) = (Array(student.joined()), Array(teacher.joined()))
    let common = zip(a, b).prefix { $0 == $1 }.count
    var pairs: [(Int, Int)] = []
    var (i, j, before, behind) = (0, 0, 0, 0)
    while i < student.count, j < teacher.count, before <= common, behind <= common {
        if before == behind {
            pairs.append((i, j))
            before += student[i].count
            behind += teacher[j].count
            (i, j) = (i + 1, j + 1)
        } else if before < behind {
            before += student[i].count
            i += 1
        } else {
            behind += teacher[j].count
            j += 1
        }
    }
    return pairs
}
