#include "ck_shuffle.h"

#include "shuffle.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/// Transposes the 8 x 8 bits of each 64-bit word: bit j of byte i goes to bit i of byte j.
/// Three swaps of 1, 2 and 4 bits off the diagonal.
#define TRANSPOSE_BITS(TYPE, x)                                                                    \
    do {                                                                                           \
        TYPE t;                                                                                    \
        t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;                                                \
        x = x ^ t ^ (t << 7);                                                                      \
        t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;                                               \
        x = x ^ t ^ (t << 14);                                                                     \
        t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;                                               \
        x = x ^ t ^ (t << 28);                                                                     \
    } while (0)

/// One perfect shuffle of 128 bytes: the halves are interleaved byte by byte. The bits of a byte's
/// index rotate left by one, so k shuffles turn an 8 x 16 matrix into 16 x 8 (k = 3) or back (4).
CK_INLINE void interleave(bytes16 v[8]) {
    bytes16 w[8];
    for (int i = 0; i < 4; i++) {
        w[2 * i] = __builtin_shufflevector(
            v[i], v[i + 4], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        w[2 * i + 1] = __builtin_shufflevector(
            v[i], v[i + 4], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 8; i++) v[i] = w[i];
}

CK_INLINE void transpose_words(bytes16 v[8]) {
    for (int i = 0; i < 8; i++) {
        words2 x = (words2)v[i];
        TRANSPOSE_BITS(words2, x);
        v[i] = (bytes16)x;
    }
}

/// One byte lane: x (n bytes) -> eight planes of n / 8 bytes.
CK_INLINE void lane_to_planes(const uint8_t *x, uint8_t *out, size_t n) {
    const size_t plane = n / 8;
    size_t j = 0;
    for (; j + 16 <= plane; j += 16) {
        bytes16 v[8];
        memcpy(v, x + 8 * j, 128);
        transpose_words(v);
        for (int i = 0; i < 4; i++) interleave(v);
        for (int k = 0; k < 8; k++) memcpy(out + k * plane + j, &v[k], 16);
    }
    for (; j < plane; j++) {
        uint64_t w;
        memcpy(&w, x + 8 * j, 8);
        TRANSPOSE_BITS(uint64_t, w);
        for (int k = 0; k < 8; k++) out[k * plane + j] = (uint8_t)(w >> (8 * k));
    }
}

CK_INLINE void planes_to_lane(const uint8_t *x, uint8_t *out, size_t n) {
    const size_t plane = n / 8;
    size_t j = 0;
    for (; j + 16 <= plane; j += 16) {
        bytes16 v[8];
        for (int k = 0; k < 8; k++) memcpy(&v[k], x + k * plane + j, 16);
        for (int i = 0; i < 3; i++) interleave(v);
        transpose_words(v);
        memcpy(out + 8 * j, v, 128);
    }
    for (; j < plane; j++) {
        uint64_t w = 0;
        for (int k = 0; k < 8; k++) w |= (uint64_t)x[k * plane + j] << (8 * k);
        TRANSPOSE_BITS(uint64_t, w);
        memcpy(out + 8 * j, &w, 8);
    }
}

/// Elements to byte lanes and back, with the element's size known to the compiler.
#define LANES(SIZE)                                                                                \
    CK_INLINE void split##SIZE(const uint8_t *x, uint8_t *out, size_t n) {                         \
        for (size_t i = 0; i < n; i++)                                                             \
            for (size_t b = 0; b < SIZE; b++) out[b * n + i] = x[i * SIZE + b];                    \
    }                                                                                              \
    CK_INLINE void join##SIZE(const uint8_t *x, uint8_t *out, size_t n) {                          \
        for (size_t i = 0; i < n; i++)                                                             \
            for (size_t b = 0; b < SIZE; b++) out[i * SIZE + b] = x[b * n + i];                    \
    }
LANES(2)
LANES(4)
LANES(8)

CK_CLONES static void shuffle(
    const uint8_t *restrict x, uint8_t *restrict out, uint8_t *restrict scratch, size_t n,
    size_t size) {
    const uint8_t *lanes = scratch;
    switch (size) {
    case 1: lanes = x; break;
    case 2: split2(x, scratch, n); break;
    case 4: split4(x, scratch, n); break;
    case 8: split8(x, scratch, n); break;
    default:
        for (size_t b = 0; b < size; b++)
            for (size_t i = 0; i < n; i++) scratch[b * n + i] = x[i * size + b];
    }
    for (size_t b = 0; b < size; b++) lane_to_planes(lanes + b * n, out + b * n, n);
}

CK_CLONES static void unshuffle(
    const uint8_t *restrict x, uint8_t *restrict out, uint8_t *restrict scratch, size_t n,
    size_t size) {
    uint8_t *lanes = size == 1 ? out : scratch;
    for (size_t b = 0; b < size; b++) planes_to_lane(x + b * n, lanes + b * n, n);
    switch (size) {
    case 1: break;
    case 2: join2(scratch, out, n); break;
    case 4: join4(scratch, out, n); break;
    case 8: join8(scratch, out, n); break;
    default:
        for (size_t b = 0; b < size; b++)
            for (size_t i = 0; i < n; i++) out[i * size + b] = scratch[b * n + i];
    }
}

void ck_bit_shuffle(const uint8_t *x, uint8_t *out, uint8_t *scratch, size_t n, size_t size) {
    if (!ck_bit_shuffle_gfni(x, out, n, size)) shuffle(x, out, scratch, n, size);
}

void ck_bit_unshuffle(const uint8_t *x, uint8_t *out, uint8_t *scratch, size_t n, size_t size) {
    if (!ck_bit_unshuffle_gfni(x, out, n, size)) unshuffle(x, out, scratch, n, size);
}

CK_CLONES void ck_f32_to_f16(const float *restrict x, uint16_t *restrict out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, 4);
        const uint32_t sign = (u >> 16) & 0x8000u;
        u &= 0x7FFFFFFFu;
        uint32_t half;
        if (u > 0x7F800000u) {
            half = 0x7E00u;
        } else if (u >= 0x477FF000u) {  // rounds to 65,536 or more
            half = 0x7C00u;
        } else if (u >= 0x38800000u) {  // normal: rebias the exponent by 112, round 13 bits off
            half = (u - 0x38000000u + 0xFFFu + ((u >> 13) & 1u)) >> 13;
        } else {
            // Subnormal: adding 0.5 puts the value's last half bit at the float's last bit, and the
            // addition rounds to even by itself.
            float f;
            memcpy(&f, &u, 4);
            f += 0.5f;
            memcpy(&half, &f, 4);
            half -= 0x3F000000u;
        }
        out[i] = (uint16_t)(sign | half);
    }
}

CK_CLONES void ck_f16_to_f32(const uint16_t *restrict x, float *restrict out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t h = x[i] & 0x7FFFu;
        // 2^112 moves the exponent's bias from 15 to 127; infinity and NaN need its top as well.
        uint32_t u = h << 13;
        float f;
        memcpy(&f, &u, 4);
        f *= 0x1p112f;
        memcpy(&u, &f, 4);
        if (h >= 0x7C00u) u = 0x7F800000u | (h & 0x3FFu) << 13;
        u |= (uint32_t)(x[i] & 0x8000u) << 16;
        memcpy(out + i, &u, 4);
    }
}
