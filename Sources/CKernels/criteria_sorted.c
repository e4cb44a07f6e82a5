#include "criteria.h"

/// Bits that one pass of the sort looks at, and how many passes make 32.
enum { RADIX_BITS = 11, RADIX_PASSES = 3, RADIX_SIZE = 1 << RADIX_BITS };

/// Sorts x (n) by its upper 32 bits, from the largest down, equal ones in their order; `other` (n) is
/// room. Three passes, so the result lies in `other`.
///
/// Probabilities are not negative, so their bits rise as they do: no comparison is needed.
static void sort_down(uint64_t *x, uint64_t *other, size_t n) {
    uint32_t counts[RADIX_PASSES][RADIX_SIZE];
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < n; i++) {
        uint32_t key = ~(uint32_t)(x[i] >> 32);
        for (int pass = 0; pass < RADIX_PASSES; pass++) {
            counts[pass][(key >> (pass * RADIX_BITS)) & (RADIX_SIZE - 1)]++;
        }
    }
    for (int pass = 0; pass < RADIX_PASSES; pass++) {
        uint32_t start = 0;
        for (int b = 0; b < RADIX_SIZE; b++) {
            uint32_t count = counts[pass][b];
            counts[pass][b] = start;
            start += count;
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t key = ~(uint32_t)(x[i] >> 32);
            other[counts[pass][(key >> (pass * RADIX_BITS)) & (RADIX_SIZE - 1)]++] = x[i];
        }
        uint64_t *kept = x;
        x = other;
        other = kept;
    }
}

CK_INLINE uint64_t packed(float x, size_t index) {
    union { float f; uint32_t i; } bits = {x};
    return (uint64_t)bits.i << 32 | (uint32_t)index;
}

CK_INLINE float unpacked(uint64_t x) {
    union { uint32_t i; float f; } bits = {(uint32_t)(x >> 32)};
    return bits.f;
}

size_t ck_sorted_scratch(size_t p_n, size_t n) { return 2 * (p_n + n); }

CK_CLONES void ck_sorted_row(
    const float *p, size_t p_n, float tail, float *q, size_t n, int64_t label,
    const ck_criterion_settings *settings, uint64_t *scratch, ck_criterion_losses *losses) {
    uint64_t *qs = scratch, *sorted_q = qs + n, *ps = sorted_q + n, *sorted_p = ps + p_n;
    int with_ce = label >= 0;
    float smoothing = settings->label_smoothing, weight = settings->cross_entropy_weight;
    float top = largest(q, n);
    double sum = sum_of_exp(q, n, top, 1.0f);
    float over = (float)(1.0 / sum);
    losses->cross_entropy =
        with_ce ? cross_entropy(q, n, (size_t)label, smoothing, top, sum) : 0;
    for (size_t i = 0; i < n; i++) q[i] = ck_exp(q[i] - top) * over;
    for (size_t i = 0; i < n; i++) qs[i] = packed(q[i], i);
    for (size_t i = 0; i < p_n; i++) ps[i] = packed(p[i], i);
    sort_down(qs, sorted_q, n);
    sort_down(ps, sorted_p, p_n);
    // The signs go where q was sorted from: into the floats of `qs`, by token.
    float *signs = (float *)(void *)qs;
    double loss = 0, mean = 0, beyond = 0;
    size_t paired = p_n < n ? p_n : n;
    for (size_t r = 0; r < paired; r++) {
        float value = unpacked(sorted_q[r]), gap = value - unpacked(sorted_p[r]);
        float sign = gap > 0 ? 1.0f : (gap < 0 ? -1.0f : 0.0f);
        loss += fabsf(gap);
        mean += sign * value;
        signs[(uint32_t)sorted_q[r]] = sign;
    }
    for (size_t r = paired; r < n; r++) beyond += unpacked(sorted_q[r]);
    for (size_t r = paired; r < p_n; r++) loss += unpacked(sorted_p[r]);
    double rest = tail < 0 ? beyond : beyond - tail;
    float rest_sign = rest > 0 ? 1.0f : (rest < 0 ? -1.0f : 0.0f);
    for (size_t r = paired; r < n; r++) signs[(uint32_t)sorted_q[r]] = rest_sign;
    loss += fabs(rest);
    mean += rest_sign * beyond;
    losses->divergence = loss;
    float kd = settings->divergence_weight, centre = (float)mean;
    float ce = with_ce ? weight : 0, floor = with_ce ? weight * smoothing / (float)n : 0;
    for (size_t i = 0; i < n; i++) q[i] = q[i] * (kd * (signs[i] - centre) + ce) - floor;
    if (with_ce) q[label] -= weight * (1.0f - smoothing);
}

CK_CLONES void ck_mapped_row(
    const float *x, size_t x_n, float scale, const uint32_t *map, float *out, size_t n) {
    float top = largest(x, x_n);
    float over = (float)(1.0 / sum_of_exp(x, x_n, top, scale));
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < x_n; i++) out[map[i]] += ck_exp((x[i] - top) * scale) * over;
    for (size_t i = 0; i < n; i++) out[i] = out[i] > 0 ? ck_log(out[i]) : CK_NO_LOG;
}
