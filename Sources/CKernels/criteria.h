/// What the criterion kernels share: a logarithm, and the layout of their passes.
#pragma once
#include "include/ck_criteria.h"
#include "vector.h"

/// Sums are made in float over blocks of this size (which the compiler spreads over many lanes),
/// and blocks are added in double: the error does not grow with the vocabulary.
#define CK_ROW_BLOCK 1024

/// Stands for log 0: far enough below every logarithm that exp of the difference is 0, and finite, so
/// that 0 times it is 0.
#define CK_NO_LOG -1e4f

/// log(x) for x >= 0 to about 1 ulp; zero is taken as the smallest normal number.
/// x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt 2), then the series of 2 atanh(f / (2 + f)).
CK_INLINE float ck_log(float x) {
    union { float f; int32_t i; } bits = {x < 1.17549435e-38f ? 1.17549435e-38f : x};
    int32_t shifted = bits.i - 0x3f3504f3;
    int32_t e = shifted >> 23;
    bits.i = bits.i - (int32_t)((uint32_t)e << 23);
    float f = bits.f - 1.0f;
    float s = f / (2.0f + f);
    float z = s * s;
    float series = z * (0.66666666667f + z * (0.4f + z * (0.285714286f + z * 0.222222222f)));
    return (float)e * 0.693147180560f + (2.0f * s + s * series);
}

/// Lanes of their own: a maximum over one variable would wait for itself at every step.
CK_INLINE float largest(const float *x, size_t n) {
    float lanes[64];
    size_t at = 0;
    for (int j = 0; j < 64; j++) lanes[j] = x[0];
    for (; at + 64 <= n; at += 64) {
        for (int j = 0; j < 64; j++) lanes[j] = x[at + j] > lanes[j] ? x[at + j] : lanes[j];
    }
    float top = lanes[0];
    for (int j = 1; j < 64; j++) top = lanes[j] > top ? lanes[j] : top;
    for (; at < n; at++) top = x[at] > top ? x[at] : top;
    return top;
}

/// The first index of a value; 0 if it is nowhere, as where there are NaNs.
CK_INLINE size_t index_of(const float *x, size_t n, float value) {
    size_t at = 0;
    while (at < n && x[at] != value) at++;
    return at < n ? at : 0;
}

CK_INLINE float block_of_exp(const float *x, size_t n, float top, float scale) {
#pragma clang fp reassociate(on)
    float s = 0;
    for (size_t i = 0; i < n; i++) s += ck_exp((x[i] - top) * scale);
    return s;
}

CK_INLINE double sum_of_exp(const float *x, size_t n, float top, float scale) {
    double total = 0;
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
        size_t count = n - at < CK_ROW_BLOCK ? n - at : CK_ROW_BLOCK;
        total += block_of_exp(x + at, count, top, scale);
    }
    return total;
}

/// -log q_label, or with smoothing e: (1 - e) of it and e times the mean of -log q over all tokens.
/// `sum` is that of exp(x - top).
CK_INLINE double cross_entropy(
    const float *x, size_t n, size_t label, float smoothing, float top, double sum) {
#pragma clang fp reassociate(on)
    double log_sum = log(sum), plain = log_sum + ((double)top - (double)x[label]);
    if (smoothing == 0) return plain;
    double all = 0;
    for (size_t i = 0; i < n; i++) all += x[i];
    double even = log_sum + ((double)top - all / (double)n);
    return (1.0 - (double)smoothing) * plain + (double)smoothing * even;
}

/// The scalars that the last pass of a row needs.
typedef struct {
    float p_top, q_top;    // largest logits
    float p_over, q_over;  // 1 / sum exp of the shifted, scaled logits
    float ce_over;         // the same for q at scale 1, times the cross-entropy's weight
    float ce_floor;        // what label smoothing takes off every token's gradient
    float mean;            // sum of q times the divergence's derivative by q
    float forward, reverse;  // weights of forward and reverse KL in the gradient
} ck_row_state;

/// The share of |p - q| that lies in the head of p: what is left above its ascending tail.
float ck_adaptive_share(const float *p, const float *gap, size_t n, float tail_mass);
