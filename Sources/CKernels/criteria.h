/// What the criterion kernels share: a logarithm, and the layout of their passes.
#pragma once
#include "include/ck_criteria.h"
#include "vector.h"

/// Sums are made in float over blocks of this size (which the compiler spreads over many lanes),
/// and blocks are added in double: the error does not grow with the vocabulary.
#define CK_ROW_BLOCK 1024

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

/// The scalars that the last pass of a row needs.
typedef struct {
    float p_top, q_top;    // largest logits
    float p_over, q_over;  // 1 / sum exp of the shifted, scaled logits
    float ce_over;         // the same for q at scale 1, times the cross-entropy's weight
    float mean;            // sum of q times the divergence's derivative by q
    float forward, reverse;  // weights of forward and reverse KL in the gradient
} ck_row_state;

/// The share of |p - q| that lies in the head of p: what is left above its ascending tail.
float ck_adaptive_share(const float *p, const float *gap, size_t n, float tail_mass);
