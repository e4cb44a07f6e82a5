import CKernels
import Tensors

/// Causal softmax attention over sequences laid end to end, with grouped queries.
struct Attention {
    let headCount: Int
    let keyValueHeadCount: Int
    let headSize: Int
    /// Floats from one head to the next in q, k and v alike: `headSize` where heads lie end to end.
    ///
    /// Other steps are for models without grouped queries.
    let headStep: Int
    /// What scores are multiplied by.
    let scale: Float
    /// Scores s become cap * tanh(s / cap); 0 for none.
    let softCap: Float
    /// How many keys a query sees, its own included; 0 for all.
    let window: Int

    init(_ c: ModelConfiguration, layer: Int, headStep: Int? = nil) {
        headCount = c.headCount
        keyValueHeadCount = c.keyValueHeadCount
        headSize = c.headSize
        self.headStep = headStep ?? c.headSize
        scale = c.attentionScale
        softCap = c.attentionSoftCap ?? 0
        window = c.window(ofLayer: layer) ?? 0
    }

    private var group: Int { headCount / keyValueHeadCount }

    /// - Parameters:
    ///   - q: (T, heads * headSize); k and v: (T, keyValueHeads * headSize), or views of those widths
    ///     with heads `headStep` apart.
    ///   - offsets: Where each sequence starts; T at the end.
    ///   - dropout: Of the probabilities.
    ///   - logPartitions: (heads, T), filled for the backward pass when given.
    /// - Returns: (T, heads * headSize).
    func callAsFunction(
        _ q: Matrix,
        _ k: Matrix,
        _ v: Matrix,
        offsets: [Int],
        dropout: Dropout? = nil,
        logPartitions: Matrix? = nil
    ) -> Matrix {
        let out = Matrix(uninitialized: q.rows, headCount * headSize)
        let (group, size, heads, step) = (group, headSize, keyValueHeadCount, headStep)
        parallelEach((offsets.count - 1) * heads) { piece in
            let (sequence, head) = (piece / heads, piece % heads)
            let start = offsets[sequence]
            let n = offsets[sequence + 1] - start
            guard n > 0 else { return }
            withScratch(ck_attention_scratch(n, size)) { scratch in
                ck_attention(
                    q.row(start) + head * group * step,
                    k.row(start) + head * step,
                    v.row(start) + head * step,
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
                    softCap,
                    window,
                    dropout?.rate ?? 0,
                    dropout?.key(piece) ?? 0,
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
        dropout: Dropout?,
        dq: Matrix,
        dk: Matrix,
        dv: Matrix
    ) {
        precondition(dq.stride == q.stride && dk.stride == k.stride && dv.stride == k.stride)
        precondition(v.stride == k.stride && gradient.stride == out.stride)
        let (group, size, heads, step) = (group, headSize, keyValueHeadCount, headStep)
        parallelEach((offsets.count - 1) * heads) { piece in
            let (sequence, head) = (piece / heads, piece % heads)
            let start = offsets[sequence]
            let n = offsets[sequence + 1] - start
            guard n > 0 else { return }
            let (wide, narrow) = (head * group * step, head * step)
            let outWide = head * group * size
            withScratch(ck_attention_backward_scratch(n, size)) { scratch in
                ck_attention_backward(
                    q.row(start) + wide,
                    k.row(start) + narrow,
                    v.row(start) + narrow,
                    out.row(start) + outWide,
                    logPartitions.row(head * group) + start,
                    gradient.row(start) + outWide,
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
                    softCap,
                    window,
                    dropout?.rate ?? 0,
                    dropout?.key(piece) ?? 0,
                    scratch
                )
            }
        }
    }

    /// One new token a sequence: q (B, heads * headSize) against the cached keys and values.
    func decode(_ q: Matrix, _ cache: KeyValueCache.Layer, slots: [Int], lengths: [Int]) -> Matrix {
        let out = Matrix(uninitialized: q.rows, headCount * headSize)
        let (group, size, heads, step) = (group, headSize, keyValueHeadCount, headStep)
        parallelEach(q.rows) { row in
            let first = window > 0 ? max(0, lengths[row] - window) : 0
            let seen = lengths[row] - first
            withScratch(seen) { scores in
                for head in 0..<heads {
                    ck_attention_decode(
                        q.row(row) + head * group * step,
                        cache.keyRow(slot: slots[row], position: first) + head * size,
                        cache.valueRow(slot: slots[row], position: first) + head * size,
                        out.row(row) + head * group * size,
                        seen,
                        group,
                        size,
                        cache.keys.stride,
                        scale,
                        softCap,
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
