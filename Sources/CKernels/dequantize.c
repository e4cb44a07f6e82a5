#include "ck_dequantize.h"
#include "common.h"

// A fused multiply-add would round once where the reference rounds twice, and differently on
// machines without it.
#pragma STDC FP_CONTRACT OFF

CK_INLINE uint16_t load16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

CK_INLINE uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

CK_INLINE float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

CK_INLINE uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

/// Half to float without branches and without subnormal floats, so that flush-to-zero modes and
/// slow subnormal paths do not matter.
CK_INLINE float half_to_float(uint16_t h) {
    const uint32_t rebias = 112u << 23;  // 127 - 15
    const uint32_t magnitude = h & 0x7fffu;
    const uint32_t normal = (magnitude << 13) + rebias + (magnitude >= 0x7c00u ? rebias : 0u);
    const uint32_t subnormal = bits_of_float((float)(int32_t)magnitude * 0x1p-24f);
    const uint32_t bits = magnitude < 0x0400u ? subnormal : normal;
    return float_of_bits(bits | ((uint32_t)(h & 0x8000u) << 16));
}

void ck_dequantize_f32(const void *blocks, float *out, size_t n) { memcpy(out, blocks, n * 4); }

CK_CLONES void ck_dequantize_f16(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t i = 0; i < n; i++) out[i] = half_to_float(load16(p + 2 * i));
}

CK_CLONES void ck_dequantize_bf16(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t i = 0; i < n; i++) out[i] = float_of_bits((uint32_t)load16(p + 2 * i) << 16);
}

CK_CLONES void ck_dequantize_f64(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, p + 8 * i, 8);
        out[i] = (float)v;
    }
}

// Loops of 16 and 32 would be unrolled before the vectoriser sees them, and stay scalar.
#define VECTOR _Pragma("clang loop vectorize(enable) unroll(disable)")

// MARK: blocks of 32. Low nibbles hold elements 0-15, high nibbles 16-31.

CK_CLONES void ck_dequantize_q4_0(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 18, out += 32) {
        const float d = half_to_float(load16(p));
        VECTOR
        for (int i = 0; i < 16; i++) out[i] = d * (float)((int)(p[2 + i] & 15) - 8);
        VECTOR
        for (int i = 0; i < 16; i++) out[16 + i] = d * (float)((int)(p[2 + i] >> 4) - 8);
    }
}

CK_CLONES void ck_dequantize_q4_1(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 20, out += 32) {
        const float d = half_to_float(load16(p)), m = half_to_float(load16(p + 2));
        VECTOR
        for (int i = 0; i < 16; i++) out[i] = d * (float)(int)(p[4 + i] & 15) + m;
        VECTOR
        for (int i = 0; i < 16; i++) out[16 + i] = d * (float)(int)(p[4 + i] >> 4) + m;
    }
}

/// Bit i of `high` is the fifth bit of element i.
CK_CLONES void ck_dequantize_q5_0(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 22, out += 32) {
        const float d = half_to_float(load16(p));
        const uint32_t high = load32(p + 2);
        VECTOR
        for (int i = 0; i < 16; i++) {
            const int q = (p[6 + i] & 15) | (int)((high >> i & 1u) << 4);
            out[i] = d * (float)(q - 16);
        }
        VECTOR
        for (int i = 0; i < 16; i++) {
            const int q = (p[6 + i] >> 4) | (int)((high >> (16 + i) & 1u) << 4);
            out[16 + i] = d * (float)(q - 16);
        }
    }
}

CK_CLONES void ck_dequantize_q5_1(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 24, out += 32) {
        const float d = half_to_float(load16(p)), m = half_to_float(load16(p + 2));
        const uint32_t high = load32(p + 4);
        VECTOR
        for (int i = 0; i < 16; i++) {
            const int q = (p[8 + i] & 15) | (int)((high >> i & 1u) << 4);
            out[i] = d * (float)q + m;
        }
        VECTOR
        for (int i = 0; i < 16; i++) {
            const int q = (p[8 + i] >> 4) | (int)((high >> (16 + i) & 1u) << 4);
            out[16 + i] = d * (float)q + m;
        }
    }
}

CK_CLONES void ck_dequantize_q8_0(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 34, out += 32) {
        const float d = half_to_float(load16(p));
        VECTOR
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int)(int8_t)p[2 + i];
    }
}

/// The sixteen values that the 4 bits of IQ4_NL and IQ4_XS stand for.
static const int8_t nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

CK_INLINE void dequantize_nonlinear(float scale, const uint8_t *q, float *restrict out) {
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)nonlinear[q[i] & 15];
        out[16 + i] = scale * (float)nonlinear[q[i] >> 4];
    }
}

CK_CLONES void ck_dequantize_iq4_nl(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 18, out += 32) {
        dequantize_nonlinear(half_to_float(load16(p)), p + 2, out);
    }
}

// MARK: blocks of 256, cut into groups with small integer scales.

/// scales 16 (4-bit scale, 4-bit minimum), quants 64 (2 bits), d, dmin.
CK_CLONES void ck_dequantize_q2_k(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 84) {
        const float d = half_to_float(load16(p + 80)), dmin = half_to_float(load16(p + 82));
        for (int g = 0; g < 16; g++, out += 16) {
            const float scale = d * (float)(int)(p[g] & 15);
            const float minimum = dmin * (float)(int)(p[g] >> 4);
            const uint8_t *q = p + 16 + (g / 8) * 32 + (g % 2) * 16;
            const int shift = (g / 2 % 4) * 2;
            VECTOR
            for (int i = 0; i < 16; i++) out[i] = scale * (float)(q[i] >> shift & 3) - minimum;
        }
    }
}

/// mask 32 (third bit, inverted), quants 64 (2 bits), scales 12 (6 bits each), d.
CK_CLONES void ck_dequantize_q3_k(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 110) {
        const float d = half_to_float(load16(p + 108));
        const uint8_t *packed = p + 96;
        for (int g = 0; g < 16; g++, out += 16) {
            const int low = (packed[g % 8] >> (g / 8 * 4)) & 15;
            const int high = (packed[8 + g % 4] >> (g / 4 * 2)) & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            const uint8_t *mask = p + (g % 2) * 16;
            const uint8_t *q = p + 32 + (g / 8) * 32 + (g % 2) * 16;
            const int bit = g / 2, shift = (g / 2 % 4) * 2;
            VECTOR
            for (int i = 0; i < 16; i++) {
                const int third = (~mask[i] >> bit & 1) << 2;
                out[i] = scale * (float)((q[i] >> shift & 3) - third);
            }
        }
    }
}

/// The 6-bit scale and minimum of group g of 8, packed in 12 bytes (Q4_K and Q5_K).
CK_INLINE void scale_and_minimum(const uint8_t *packed, int g, int *scale, int *minimum) {
    if (g < 4) {
        *scale = packed[g] & 63;
        *minimum = packed[4 + g] & 63;
    } else {
        *scale = (packed[4 + g] & 15) | (packed[g - 4] >> 2 & 48);
        *minimum = (packed[4 + g] >> 4) | (packed[g] >> 2 & 48);
    }
}

/// d, dmin, scales 12, quants 128 (4 bits).
CK_CLONES void ck_dequantize_q4_k(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 144) {
        const float d = half_to_float(load16(p)), dmin = half_to_float(load16(p + 2));
        for (int g = 0; g < 8; g++, out += 32) {
            int s, m;
            scale_and_minimum(p + 4, g, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *q = p + 16 + (g / 2) * 32;
            const int shift = (g % 2) * 4;
            VECTOR
            for (int i = 0; i < 32; i++) out[i] = scale * (float)(q[i] >> shift & 15) - minimum;
        }
    }
}

/// d, dmin, scales 12, fifth bits 32, quants 128 (4 bits).
CK_CLONES void ck_dequantize_q5_k(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 176) {
        const float d = half_to_float(load16(p)), dmin = half_to_float(load16(p + 2));
        const uint8_t *high = p + 16;
        for (int g = 0; g < 8; g++, out += 32) {
            int s, m;
            scale_and_minimum(p + 4, g, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *q = p + 48 + (g / 2) * 32;
            const int shift = (g % 2) * 4;
            VECTOR
            for (int i = 0; i < 32; i++) {
                const int v = (q[i] >> shift & 15) | (high[i] >> g & 1) << 4;
                out[i] = scale * (float)v - minimum;
            }
        }
    }
}

/// quants 128 (4 bits), fifth and sixth bits 64, signed scales 16, d.
CK_CLONES void ck_dequantize_q6_k(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 210) {
        const float d = half_to_float(load16(p + 208));
        for (int g = 0; g < 16; g++, out += 16) {
            const int run = g / 2, half = (g % 2) * 16;  // eight runs of 32 elements
            const float scale = d * (float)(int)(int8_t)p[192 + g];
            const uint8_t *q = p + (run / 4) * 64 + (run % 2) * 32 + half;
            const uint8_t *high = p + 128 + (run / 4) * 32 + half;
            const int shift = (run / 2 % 2) * 4, highShift = (run % 4) * 2;
            VECTOR
            for (int i = 0; i < 16; i++) {
                const int v = (q[i] >> shift & 15) | (high[i] >> highShift & 3) << 4;
                out[i] = scale * (float)(v - 32);
            }
        }
    }
}

/// d, upper 2 bits of 8 scales (16 bits), their lower 4 bits 4, quants 128 (4 bits, nonlinear).
CK_CLONES void ck_dequantize_iq4_xs(const void *blocks, float *restrict out, size_t n) {
    const uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 136) {
        const float d = half_to_float(load16(p));
        const int high = load16(p + 2);
        for (int g = 0; g < 8; g++, out += 32) {
            const int low = p[4 + g / 2] >> (g % 2 * 4) & 15;
            const float scale = d * (float)((low | (high >> (2 * g) & 3) << 4) - 32);
            dequantize_nonlinear(scale, p + 8 + 16 * g, out);
        }
    }
}

// MARK: for the writer.

CK_INLINE uint16_t float_to_half(float f) {
    const uint32_t bits = bits_of_float(f), magnitude = bits & 0x7fffffffu;
    // Adding 1.5 * 2^23 leaves the rounded multiple of 2^-24 in the lowest bits of the sum.
    const float shifted = float_of_bits(magnitude < 0x38800000u ? magnitude : 0u) * 0x1p24f;
    const uint32_t subnormal = bits_of_float(shifted + 12582912.0f) - bits_of_float(12582912.0f);
    const uint32_t rebased = magnitude - (112u << 23);
    const uint32_t normal = (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13;
    const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x1ffu) : 0x7c00u;
    const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    return (uint16_t)((magnitude >= 0x47800000u ? special : finite) | (bits >> 16 & 0x8000u));
}

CK_CLONES void ck_weights_to_f16(const float *restrict values, uint16_t *restrict out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = float_to_half(values[i]);
}

CK_CLONES float ck_largest_magnitude(const float *restrict x, size_t n) {
    // Bits of magnitudes are ordered as the magnitudes are, infinity and NaN above all.
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of_float(x[i]) & 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return float_of_bits(largest);
}

void ck_quantize_q8_0(const float *restrict values, void *restrict blocks, size_t n) {
    uint8_t *p = blocks;
    for (size_t b = 0; b < n; b++, p += 34, values += 32) {
        const float d = ck_largest_magnitude(values, 32) / 127.0f;
        const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
        const uint16_t half = float_to_half(d);
        memcpy(p, &half, 2);
        for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)(int8_t)roundf(values[i] * inverse);
    }
}
