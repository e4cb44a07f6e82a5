/// Attention over one sequence. Keys and values are first copied into padded scratch (keys
/// transposed), so that the inner loops run over whole vectors: 4 queries x 64 keys at a time.
#include "include/ck_attention.h"

#include "vector.h"

#define QUERIES 4
#define KEYS 64
#define LANES 16

CK_INLINE size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

CK_INLINE void copy_padded(
    const float *x, size_t n, size_t dim, size_t stride, size_t keys, size_t width, float *rows,
    float *transposed) {
    if (rows) {
        memset(rows, 0, keys * width * sizeof(float));
        for (size_t j = 0; j < n; j++) memcpy(rows + j * width, x + j * stride, dim * sizeof(float));
    }
    if (transposed) {
        memset(transposed, 0, keys * width * sizeof(float));
        for (size_t j = 0; j < n; j++) {
            for (size_t d = 0; d < dim; d++) transposed[d * keys + j] = x[j * stride + d];
        }
    }
}

/// tile (QUERIES, KEYS) = a (QUERIES, width) x b (width, keys), the KEYS columns from `from`.
CK_INLINE void dot_tile(
    const float *a, const float *b, size_t dim, size_t width, size_t keys, size_t from,
    float *tile) {
#pragma clang fp contract(fast)
    ck_v16 acc[QUERIES][KEYS / LANES];
    for (int r = 0; r < QUERIES; r++)
        for (int c = 0; c < KEYS / LANES; c++) acc[r][c] = ck_splat(0);
    for (size_t d = 0; d < dim; d++) {
        const float *row = b + d * keys + from;
        ck_v16 b0 = ck_load(row), b1 = ck_load(row + 16), b2 = ck_load(row + 32),
               b3 = ck_load(row + 48);
        for (int r = 0; r < QUERIES; r++) {
            ck_v16 x = ck_splat(a[r * width + d]);
            acc[r][0] += x * b0;
            acc[r][1] += x * b1;
            acc[r][2] += x * b2;
            acc[r][3] += x * b3;
        }
    }
    for (int r = 0; r < QUERIES; r++)
        for (int c = 0; c < KEYS / LANES; c++) ck_store(tile + r * KEYS + c * LANES, acc[r][c]);
}

/// tile (QUERIES, KEYS) = cap * tanh(tile / cap), for a cap above 0.
CK_INLINE void soft_cap_tile(float *tile, float cap) {
    if (!(cap > 0)) return;
    float inverse = 1.0f / cap;
    for (int t = 0; t < QUERIES * KEYS; t++) tile[t] = cap * ck_tanh(tile[t] * inverse);
}

CK_INLINE float larger(float a, float b) { return a > b ? a : b; }

/// The largest of KEYS numbers, none of them NaN: by halves, since one after the other cannot be
/// vectorised.
CK_INLINE float largest(const float *s) {
    float lanes[LANES];
    for (int t = 0; t < LANES; t++)
        lanes[t] = larger(larger(s[t], s[t + 16]), larger(s[t + 32], s[t + 48]));
    for (int t = 0; t < 8; t++) lanes[t] = larger(lanes[t], lanes[t + 8]);
    for (int t = 0; t < 4; t++) lanes[t] = larger(lanes[t], lanes[t + 4]);
    return larger(larger(lanes[0], lanes[2]), larger(lanes[1], lanes[3]));
}

/// The first key that query i sees; a window of 0 is none.
CK_INLINE size_t first_key(size_t i, size_t window) {
    return window && i + 1 > window ? i + 1 - window : 0;
}

/// out (QUERIES, width) += tile (QUERIES, KEYS) x rows (KEYS, width).
CK_INLINE void add_rows(const float *tile, const float *rows, size_t count, size_t width, float *out) {
#pragma clang fp contract(fast)
    for (size_t d = 0; d < width; d += LANES) {
        ck_v16 acc[QUERIES];
        for (int r = 0; r < QUERIES; r++) acc[r] = ck_load(out + r * width + d);
        for (size_t j = 0; j < count; j++) {
            ck_v16 v = ck_load(rows + j * width + d);
            for (int r = 0; r < QUERIES; r++) acc[r] += ck_splat(tile[r * KEYS + j]) * v;
        }
        for (int r = 0; r < QUERIES; r++) ck_store(out + r * width + d, acc[r]);
    }
}

/// rows (KEYS, width) += tile^T (KEYS, QUERIES) x x (QUERIES, width).
CK_INLINE void add_transposed(
    const float *tile, const float *x, size_t count, size_t width, float *rows) {
#pragma clang fp contract(fast)
    for (size_t d = 0; d < width; d += LANES) {
        ck_v16 xs[QUERIES];
        for (int r = 0; r < QUERIES; r++) xs[r] = ck_load(x + r * width + d);
        for (size_t j = 0; j < count; j++) {
            ck_v16 acc = ck_load(rows + j * width + d);
            for (int r = 0; r < QUERIES; r++) acc += ck_splat(tile[r * KEYS + j]) * xs[r];
            ck_store(rows + j * width + d, acc);
        }
    }
}

/// Dropout of probabilities, or of the gradients by them, at places that start with `first`.
CK_INLINE void drop(float *p, size_t count, size_t first, uint64_t key, float rate) {
    if (!(rate > 0)) return;
    uint32_t threshold = ck_drop_threshold(rate);
    float scale = 1.0f / (1.0f - rate);
    for (size_t t = 0; t < count; t++)
        p[t] = ck_random_bits((uint32_t)(first + t), key) < threshold ? 0.0f : p[t] * scale;
}

CK_INLINE void load_queries(
    const float *q, size_t from, size_t n, size_t dim, size_t stride, size_t width, float scale,
    float *block) {
    memset(block, 0, QUERIES * width * sizeof(float));
    for (size_t r = 0; r < QUERIES && from + r < n; r++)
        for (size_t d = 0; d < dim; d++) block[r * width + d] = q[(from + r) * stride + d] * scale;
}

size_t ck_attention_scratch(size_t n, size_t dim) {
    size_t width = padded(dim, LANES), keys = padded(n, KEYS);
    return 2 * keys * width + 2 * QUERIES * width + QUERIES * KEYS;
}

CK_CLONES void ck_attention(
    const float *q, const float *k, const float *v, float *out, float *lse, size_t n, size_t group,
    size_t dim, size_t q_stride, size_t kv_stride, size_t out_stride, size_t lse_stride,
    float scale, float soft_cap, size_t window, float drop_rate, uint64_t drop_key, float *scratch) {
    size_t width = padded(dim, LANES), keys = padded(n, KEYS);
    float *k_transposed = scratch, *v_rows = k_transposed + keys * width;
    float *block = v_rows + keys * width, *acc = block + QUERIES * width;
    float *tile = acc + QUERIES * width;
    copy_padded(k, n, dim, kv_stride, keys, width, NULL, k_transposed);
    copy_padded(v, n, dim, kv_stride, keys, width, v_rows, NULL);
    for (size_t g = 0; g < group; g++) {
        for (size_t i = 0; i < n; i += QUERIES) {
            load_queries(q + g * dim, i, n, dim, q_stride, width, scale, block);
            memset(acc, 0, QUERIES * width * sizeof(float));
            float top[QUERIES], sum[QUERIES];
            for (int r = 0; r < QUERIES; r++) top[r] = -INFINITY, sum[r] = 0;
            size_t last = i + QUERIES < n ? i + QUERIES : n;  // keys that any of these may see
            for (size_t j = first_key(i, window) / KEYS * KEYS; j < last; j += KEYS) {
                dot_tile(block, k_transposed, dim, width, keys, j, tile);
                soft_cap_tile(tile, soft_cap);
                size_t count = last - j < KEYS ? last - j : KEYS;
                for (size_t r = 0; r < QUERIES; r++) {
                    float *s = tile + r * KEYS;
                    // Query i + r sees the keys up to itself; rows past the end see what the last does.
                    size_t limit = i + r + 1 < last ? i + r + 1 : last;
                    size_t seen = limit > j ? (limit - j < count ? limit - j : count) : 0;
                    size_t first = first_key(i + r, window);
                    size_t hidden = first > j ? first - j : 0;
                    if (hidden >= seen) {
                        for (size_t t = 0; t < KEYS; t++) s[t] = 0;
                        continue;
                    }
                    for (size_t t = 0; t < hidden; t++) s[t] = -INFINITY;
                    for (size_t t = seen; t < KEYS; t++) s[t] = -INFINITY;
                    float peak = larger(top[r], largest(s));
                    float correction = top[r] == -INFINITY ? 0.0f : ck_exp(top[r] - peak);
                    float total = 0;
                    {
#pragma clang fp reassociate(on)
                        for (size_t t = 0; t < KEYS; t++) {
                            s[t] = ck_exp(s[t] - peak);
                            total += s[t];
                        }
                    }
                    drop(s, KEYS, ((g * n + i + r) * n) + j, drop_key, drop_rate);
                    sum[r] = sum[r] * correction + total;
                    top[r] = peak;
                    if (correction != 1.0f)
                        for (size_t d = 0; d < width; d++) acc[r * width + d] *= correction;
                }
                add_rows(tile, v_rows + j * width, count, width, acc);
            }
            for (size_t r = 0; r < QUERIES && i + r < n; r++) {
                float inverse = 1.0f / sum[r];
                float *y = out + (i + r) * out_stride + g * dim;
                for (size_t d = 0; d < dim; d++) y[d] = acc[r * width + d] * inverse;
                if (lse) lse[g * lse_stride + i + r] = top[r] + logf(sum[r]);
            }
        }
    }
}

size_t ck_attention_backward_scratch(size_t n, size_t dim) {
    size_t width = padded(dim, LANES), keys = padded(n, KEYS);
    return 5 * keys * width + 3 * QUERIES * width + 2 * QUERIES * KEYS;
}

CK_CLONES void ck_attention_backward(
    const float *q, const float *k, const float *v, const float *out, const float *lse,
    const float *d_out, float *d_q, float *d_k, float *d_v, size_t n, size_t group, size_t dim,
    size_t q_stride, size_t kv_stride, size_t out_stride, size_t lse_stride, float scale,
    float soft_cap, size_t window, float drop_rate, uint64_t drop_key, float *scratch) {
    size_t width = padded(dim, LANES), keys = padded(n, KEYS);
    float *k_transposed = scratch, *v_transposed = k_transposed + keys * width;
    float *k_rows = v_transposed + keys * width, *dk = k_rows + keys * width;
    float *dv = dk + keys * width, *block = dv + keys * width;
    float *d_block = block + QUERIES * width, *dq = d_block + QUERIES * width;
    float *p = dq + QUERIES * width, *dp = p + QUERIES * KEYS;
    float inverse_cap = soft_cap > 0 ? 1.0f / soft_cap : 0.0f;
    copy_padded(k, n, dim, kv_stride, keys, width, k_rows, k_transposed);
    copy_padded(v, n, dim, kv_stride, keys, width, NULL, v_transposed);
    memset(dk, 0, 2 * keys * width * sizeof(float));
    for (size_t g = 0; g < group; g++) {
        for (size_t i = 0; i < n; i += QUERIES) {
            load_queries(q + g * dim, i, n, dim, q_stride, width, scale, block);
            load_queries(d_out + g * dim, i, n, dim, out_stride, width, 1.0f, d_block);
            memset(dq, 0, QUERIES * width * sizeof(float));
            float delta[QUERIES] = {0};
            for (size_t r = 0; r < QUERIES && i + r < n; r++) {
                const float *y = out + (i + r) * out_stride + g * dim;
                for (size_t d = 0; d < dim; d++) delta[r] += y[d] * d_block[r * width + d];
            }
            size_t last = i + QUERIES < n ? i + QUERIES : n;
            for (size_t j = first_key(i, window) / KEYS * KEYS; j < last; j += KEYS) {
                size_t count = last - j < KEYS ? last - j : KEYS;
                dot_tile(block, k_transposed, dim, width, keys, j, p);
                soft_cap_tile(p, soft_cap);
                dot_tile(d_block, v_transposed, dim, width, keys, j, dp);
                for (size_t r = 0; r < QUERIES; r++) {
                    size_t limit = i + r < n ? i + r + 1 : 0;
                    size_t seen = limit > j ? (limit - j < count ? limit - j : count) : 0;
                    float partition = i + r < n ? lse[g * lse_stride + i + r] : 0.0f;
                    float *pr = p + r * KEYS, *dr = dp + r * KEYS;
                    size_t first = first_key(i + r, window);
                    size_t hidden = first > j ? (first - j < seen ? first - j : seen) : 0;
                    for (size_t t = 0; t < hidden; t++) pr[t] = 0, dr[t] = 0;
                    // What the gradient by a probability is; `delta` is the same with the mask or without.
                    const size_t place = (g * n + i + r) * n + j;
                    drop(dr, KEYS, place, drop_key, drop_rate);
                    if (soft_cap > 0) {
                        // The slope of cap * tanh(s / cap) is 1 - tanh^2.
                        for (size_t t = hidden; t < seen; t++) {
                            float y = pr[t] * inverse_cap;
                            dr[t] = (dr[t] - delta[r]) * (1.0f - y * y);
                            pr[t] = ck_exp(pr[t] - partition);
                            dr[t] *= pr[t];
                        }
                    } else {
                        for (size_t t = hidden; t < seen; t++) {
                            pr[t] = ck_exp(pr[t] - partition);
                            dr[t] = pr[t] * (dr[t] - delta[r]);
                        }
                    }
                    for (size_t t = seen; t < KEYS; t++) pr[t] = 0, dr[t] = 0;
                    drop(pr, KEYS, place, drop_key, drop_rate);
                }
                add_rows(dp, k_rows + j * width, count, width, dq);
                // `block` already carries the scale, which d_k needs once.
                add_transposed(dp, block, count, width, dk + j * width);
                add_transposed(p, d_block, count, width, dv + j * width);
            }
            for (size_t r = 0; r < QUERIES && i + r < n; r++) {
                float *y = d_q + (i + r) * q_stride + g * dim;
                for (size_t d = 0; d < dim; d++) y[d] = dq[r * width + d] * scale;
            }
        }
    }
    for (size_t j = 0; j < n; j++) {
        memcpy(d_k + j * kv_stride, dk + j * width, dim * sizeof(float));
        memcpy(d_v + j * kv_stride, dv + j * width, dim * sizeof(float));
    }
}

CK_CLONES void ck_attention_decode(
    const float *q, const float *k, const float *v, float *out, size_t n, size_t group, size_t dim,
    size_t kv_stride, float scale, float soft_cap, float *scores) {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t g = 0; g < group; g++) {
        const float *query = q + g * dim;
        float *restrict y = out + g * dim;
        float top = -INFINITY;
        for (size_t j = 0; j < n; j++) {
            const float *key = k + j * kv_stride;
            float s = 0;
            for (size_t d = 0; d < dim; d++) s += query[d] * key[d];
            scores[j] = s * scale;
        }
        if (soft_cap > 0) {
            float inverse_cap = 1.0f / soft_cap;
            for (size_t j = 0; j < n; j++) scores[j] = soft_cap * ck_tanh(scores[j] * inverse_cap);
        }
        for (size_t j = 0; j < n; j++) top = scores[j] > top ? scores[j] : top;
        float sum = 0;
        for (size_t j = 0; j < n; j++) {
            scores[j] = ck_exp(scores[j] - top);
            sum += scores[j];
        }
        for (size_t d = 0; d < dim; d++) y[d] = 0;
        for (size_t j = 0; j < n; j++) {
            const float *value = v + j * kv_stride;
            float p = scores[j];
            for (size_t d = 0; d < dim; d++) y[d] += p * value[d];
        }
        float inverse = 1.0f / sum;
        for (size_t d = 0; d < dim; d++) y[d] *= inverse;
    }
}
