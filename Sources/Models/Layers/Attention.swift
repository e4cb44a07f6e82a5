import CKernels
import Tensors

/// Causal softmax attention over sequences laid end to end, with grouped queries.
struct Attention {
    let headCount: Int
    let keyValueHeadCount: Int
    let headSize: Int

    private var group: Int { headCount / keyValueHeadCount }
    private var scale: Float { 1 / Float(headSize).squareRoot() }

    /// - Parameters:
    ///   - q: (T, heads * headSize); k and v: (T, keyValueHeads * headSize).
    ///   - offsets: Where each sequence starts; T at the end.
    ///   - logPartitions: (heads, T), filled for the backward pass when given.
    /// - Returns: (T, heads * headSize).
    func callAsFunction(
        _ q: Matrix,
        _ k: Matrix,
        _ v: Matrix,
        offsets: [Int],
        logPartitions: Matrix? = nil
    ) -> Matrix {
        let out = Matrix(uninitialized: q.rows, headCount * headSize)
        let (group, size, scale, heads) = (group, headSize, scale, keyValueHeadCount)
        parallelEach((offsets.count - 1) * heads) { piece in
            let (sequence, head) = (piece / heads, piece % heads)
            let start = offsets[sequence]
            let n = offsets[sequence + 1] - start
            guard n > 0 else { return }
            withScratch(ck_attention_scratch(n, size)) { scratch in
                ck_attention(
                    q.row(start) + head * group * size,
                    k.row(start) + head * size,
                    v.row(start) + head * size,
                    out.row(start) + head * group * size,
                    logPartitions.map { $0.row(head * group) + start },
                    n,
                    group,
                    size,
                    q.stride,
                    k.stride,
                    out.stride,
                    logPartitions?.stride ?? 0,
                    scale,
                    scratch
                )
            }
        }
        return out
    }

    /// Writes the gradients of q, k and v, which have the shapes and strides of q, k and v.
    func backward(
        _ gradient: Matrix,
        q: Matrix,
        k: Matrix,
        v: Matrix,
        out: Matrix,
        logPartitions: Matrix,
        offsets: [Int],
        dq: Matrix,
        dk: Matrix,
        dv: Matrix
    ) {
        precondition(dq.stride == q.stride && dk.stride == k.stride && dv.stride == k.stride)
        precondition(v.stride == k.stride && gradient.stride == out.stride)
        let (group, size, scale, heads) = (group, headSize, scale, keyValueHeadCount)
        parallelEach((offsets.count - 1) * heads) { piece in
            let (sequence, head) = (piece / heads, piece % heads)
            let start = offsets[sequence]
            let n = offsets[sequence + 1] - start
            guard n > 0 else { return }
            let wide = head * group * size
            let narrow = head * size
            withScratch(ck_attention_backward_scratch(n, size)) { scratch in
                ck_attention_backward(
                    q.row(start) + wide,
                    k.row(start) + narrow,
                    v.row(start) + narrow,
                    out.row(start) + wide,
                    logPartitions.row(head * group) + start,
                    gradient.row(start) + wide,
                    dq.row(start) + wide,
                    dk.row(start) + narrow,
                    dv.row(start) + narrow,
                    n,
                    group,
                    size,
                    q.stride,
                    k.stride,
                    out.stride,
                    logPartitions.stride,
                    scale,
                    scratch
                )
            }
        }
    }

    /// One new token a sequence: q (B, heads * headSize) against the cached keys and values.
    func decode(_ q: Matrix, _ cache: KeyValueCache.Layer, slots: [Int], lengths: [Int]) -> Matrix {
        let out = Matrix(uninitialized: q.rows, headCount * headSize)
        let (group, size, scale, heads) = (group, headSize, scale, keyValueHeadCount)
        parallelEach(q.rows) { row in
            withScratch(lengths[row]) { scores in
                for head in 0..<heads {
                    ck_attention_decode(
                        q.row(row) + head * group * size,
                        cache.keyRow(slot: slots[row], position: 0) + head * size,
                        cache.valueRow(slot: slots[row], position: 0) + head * size,
                        out.row(row) + head * group * size,
                        lengths[row],
                        group,
                        size,
                        cache.keys.stride,
                        scale,
                        scores
                    )
                }
            }
        }
        return out
    }
}

private func withScratch(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    let scratch = Matrix(uninitialized: 1, count)
    body(scratch.base)
}
