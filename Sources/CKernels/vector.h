/// Vectors of sixteen floats and the few functions on them that the kernels share.
/// The compiler splits them for narrower instruction sets.
#pragma once
#include "common.h"

typedef float ck_v16 __attribute__((vector_size(64), aligned(4)));

CK_INLINE ck_v16 ck_load(const float *p) { return *(const ck_v16 *)p; }
CK_INLINE void ck_store(float *p, ck_v16 v) { *(ck_v16 *)p = v; }
CK_INLINE ck_v16 ck_splat(float a) {
    return (ck_v16){a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a};
}

/// 32 random bits of a place under a key: the finaliser of MurmurHash3 with the key mixed in twice.
CK_INLINE uint32_t ck_random_bits(uint32_t place, uint64_t key) {
    uint32_t h = place * 0x9E3779B1u + (uint32_t)key;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = ((h ^ (h >> 13)) + (uint32_t)(key >> 32)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}

/// Random bits below this are a share `rate` (0 to below 1) of all.
CK_INLINE uint32_t ck_drop_threshold(float rate) { return (uint32_t)((double)rate * 4294967296.0); }

/// exp(x) to about 1 ulp in [-87.3, 88.7]; below it gives 0, above it gives the largest power.
/// Range reduction by ln 2 in two parts, then a degree-6 polynomial on [-ln2/2, ln2/2].
CK_INLINE float ck_exp(float x) {
    float clamped = x > 88.72f ? 88.72f : (x < -87.33f ? -87.33f : x);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer without a library call.
    float n = (clamped * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
    float r = clamped - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    // n reaches 128 at the upper end, so the scale is applied in two halves.
    int32_t whole = (int32_t)n;
    int32_t half = whole >> 1;
    union { int32_t i; float f; } low = {(half + 127) << 23}, high = {(whole - half + 127) << 23};
    float y = p * low.f * high.f;
    return x < -87.33f ? 0.0f : y;
}

/// tanh(x) to a few ulp: Lambert's continued fraction, cut at five levels, near 0, where the formula
/// with exp would lose digits; that formula elsewhere.
CK_INLINE float ck_tanh(float x) {
    float z = x * x;
    float near = x * (945.0f + z * (105.0f + z)) / (945.0f + z * (420.0f + 15.0f * z));
    float far = 1.0f - 2.0f / (1.0f + ck_exp(2.0f * x));
    return z < 0.36f ? near : far;
}
