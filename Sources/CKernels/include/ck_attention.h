#pragma once
#include <stddef.h>
#include <stdint.h>

/// Causal attention of one sequence and one key-value head, with an online softmax: nothing of size
/// queries x keys is stored. `group` query heads share the key-value head (grouped-query attention).
///
/// q (n, group * dim), k and v (n, dim), out (n, group * dim), each with its own row stride;
/// Scores s = q k * scale become soft_cap * tanh(s / soft_cap) where soft_cap is above 0; query i sees
/// the keys j with i - window < j <= i, all of them up to i where window is 0.
/// lse (group, lse_stride) receives the log-partition of each query, for the backward pass, or NULL.
/// A share `drop_rate` of the probabilities, below 1, is set to 0 and the others are divided by what is
/// left, the same for the same `drop_key`; 0 drops nothing.
/// `scratch` holds ck_attention_scratch(n, dim) floats.
void ck_attention(
    const float *q, const float *k, const float *v, float *out, float *lse, size_t n, size_t group,
    size_t dim, size_t q_stride, size_t kv_stride, size_t out_stride, size_t lse_stride,
    float scale, float soft_cap, size_t window, float drop_rate, uint64_t drop_key, float *scratch);
size_t ck_attention_scratch(size_t n, size_t dim);

/// The backward pass of the same piece: writes (does not add to) d_q, d_k and d_v, which have the
/// strides of q and of k and v. `scratch` holds ck_attention_backward_scratch(n, dim) floats.
void ck_attention_backward(
    const float *q, const float *k, const float *v, const float *out, const float *lse,
    const float *d_out, float *d_q, float *d_k, float *d_v, size_t n, size_t group, size_t dim,
    size_t q_stride, size_t kv_stride, size_t out_stride, size_t lse_stride, float scale,
    float soft_cap, size_t window, float drop_rate, uint64_t drop_key, float *scratch);
size_t ck_attention_backward_scratch(size_t n, size_t dim);

/// One query per head over `n` cached keys: q and out (group * dim), k and v (n, dim) with
/// `kv_stride`. `scores` holds n floats. A window is the caller's: it passes the keys that are seen.
void ck_attention_decode(
    const float *q, const float *k, const float *v, float *out, size_t n, size_t group, size_t dim,
    size_t kv_stride, float scale, float soft_cap, float *scores);
