#include "shuffle.h"

#if defined(__x86_64__)
#include <immintrin.h>

// 512 elements at a time: one register of 64 bytes from every plane, to and fro.
//
// From planes to elements, the eight planes of a byte lane are interleaved byte by byte, pairs first, then fours, then eights, so that eight bytes
// side by side hold the bits of eight elements; one matrix product over GF(2) turns each such
// 8 x 8 bits over. The lanes are interleaved in the same way, still in registers. From elements to
// planes the steps are the same, backwards.

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,gfni")))
#define UNROLL _Pragma("clang loop unroll(full)")

/// Which bytes of two planes to interleave first (of the second: + 64). The later steps work
/// within quarters of a register, so each quarter gets, from the start, the bytes that will be its
/// share of the consecutive output: every fourth one, or with elements of one byte, every fourth
/// pair.
typedef struct {
    __m512i low, high;
} order;

TARGET CK_INLINE order plane_order(size_t size) {
    uint8_t x[128];
    for (unsigned i = 0; i < 128; i++) {
        const unsigned quarter = i / 16 % 4, position = i / 2 % 8 + i / 64 * 8;
        const unsigned byte = size == 1 ? position / 2 * 8 + quarter * 2 + position % 2
                                        : position * 4 + quarter;
        x[i] = (uint8_t)(byte + i % 2 * 64);
    }
    return (order){_mm512_loadu_si512(x), _mm512_loadu_si512(x + 64)};
}

/// Eight planes, `plane` bytes apart, 64 bytes of each -> 512 bytes of one lane.
TARGET CK_INLINE void lane(
    const uint8_t *x, size_t plane, __mmask64 mask, order order, __m512i out[8]) {
    __m512i p[8], pairs[8], fours[8];
    // The matrix product takes the rows from the last to the first.
    UNROLL for (size_t k = 0; k < 8; k++) p[k] =
        _mm512_maskz_loadu_epi8(mask, x + (7 - k) * plane);
    UNROLL for (int k = 0; k < 8; k += 2) {
        pairs[k] = _mm512_permutex2var_epi8(p[k], order.low, p[k + 1]);
        pairs[k + 1] = _mm512_permutex2var_epi8(p[k], order.high, p[k + 1]);
    }
    UNROLL for (int k = 0; k < 8; k += 4) UNROLL for (int h = 0; h < 2; h++) {
        fours[k + 2 * h] = _mm512_unpacklo_epi16(pairs[k + h], pairs[k + 2 + h]);
        fours[k + 2 * h + 1] = _mm512_unpackhi_epi16(pairs[k + h], pairs[k + 2 + h]);
    }
    const __m512i unit = _mm512_set1_epi64((long long)0x8040201008040201ull);
    UNROLL for (int h = 0; h < 4; h++) {
        const __m512i low = _mm512_unpacklo_epi32(fours[h], fours[h + 4]);
        const __m512i high = _mm512_unpackhi_epi32(fours[h], fours[h + 4]);
        out[2 * h] = _mm512_gf2p8affine_epi64_epi8(unit, low, 0);
        out[2 * h + 1] = _mm512_gf2p8affine_epi64_epi8(unit, high, 0);
    }
}

/// Two lanes of bytes -> 1,024 bytes, each quarter of a register eight elements of two bytes.
TARGET CK_INLINE void two_lanes(
    const uint8_t *x, size_t plane, __mmask64 mask, order order, __m512i out[16]) {
    __m512i low[8], high[8];
    lane(x, plane, mask, order, low);
    lane(x + 8 * plane, plane, mask, order, high);
    UNROLL for (int k = 0; k < 8; k++) {
        out[2 * k] = _mm512_unpacklo_epi8(low[k], high[k]);
        out[2 * k + 1] = _mm512_unpackhi_epi8(low[k], high[k]);
    }
}

/// Interleaves two registers across their quarters: units of 16 or 32 bits.
TARGET CK_INLINE void interleave16(__m512i a, __m512i b, __m512i out[2]) {
    uint16_t x[64];
    for (unsigned i = 0; i < 64; i++) x[i] = (uint16_t)(i / 2 + i % 2 * 32);
    out[0] = _mm512_permutex2var_epi16(a, _mm512_loadu_si512(x), b);
    out[1] = _mm512_permutex2var_epi16(a, _mm512_loadu_si512(x + 32), b);
}

TARGET CK_INLINE void interleave32(__m512i a, __m512i b, uint8_t *out) {
    uint32_t x[32];
    for (unsigned i = 0; i < 32; i++) x[i] = i / 2 + i % 2 * 16;
    _mm512_storeu_si512(out, _mm512_permutex2var_epi32(a, _mm512_loadu_si512(x), b));
    _mm512_storeu_si512(out + 64, _mm512_permutex2var_epi32(a, _mm512_loadu_si512(x + 16), b));
}

TARGET CK_INLINE void four_lanes(
    const uint8_t *x, size_t plane, __mmask64 mask, order order, __m512i out[32]) {
    __m512i low[16], high[16];
    two_lanes(x, plane, mask, order, low);
    two_lanes(x + 16 * plane, plane, mask, order, high);
    UNROLL for (int k = 0; k < 16; k++) interleave16(low[k], high[k], out + 2 * k);
}

/// 64 bytes of all planes -> 512 elements.
TARGET CK_INLINE void join(
    const uint8_t *x, uint8_t *out, size_t plane, __mmask64 mask, order order, size_t size) {
    __m512i a[32], b[32];
    if (size == 1) lane(x, plane, mask, order, a);
    if (size == 2) two_lanes(x, plane, mask, order, a);
    if (size >= 4) four_lanes(x, plane, mask, order, a);
    if (size == 8) {
        four_lanes(x + 32 * plane, plane, mask, order, b);
        UNROLL for (int k = 0; k < 32; k++) interleave32(a[k], b[k], out + 128 * k);
        return;
    }
    UNROLL for (size_t k = 0; k < 8 * size; k++) _mm512_storeu_si512(out + 64 * k, a[k]);
}

#define UNSHUFFLE(SIZE)                                                                            \
    TARGET static void unshuffle##SIZE(const uint8_t *x, uint8_t *out, size_t plane) {             \
        const order order = plane_order(SIZE);                                                     \
        size_t j = 0;                                                                              \
        for (; j + 64 <= plane; j += 64)                                                           \
            join(x + j, out + j * 8 * SIZE, plane, ~0ull, order, SIZE);                            \
        if (j == plane) return;                                                                    \
        uint8_t rest[512 * SIZE];                                                                  \
        join(x + j, rest, plane, (1ull << (plane - j)) - 1, order, SIZE);                          \
        memcpy(out + j * 8 * SIZE, rest, (plane - j) * 8 * SIZE);                                  \
    }
UNSHUFFLE(1)
UNSHUFFLE(2)
UNSHUFFLE(4)
UNSHUFFLE(8)

/// 512 bytes of one lane in order, but every eight of them backwards, -> 64 bytes of eight planes.
TARGET CK_INLINE void planes(const __m512i x[8], uint8_t *out, size_t plane, __mmask64 mask) {
    uint8_t index[128];
    // Of two registers, the bytes of a plane side by side: planes 0 to 3, then 4 to 7.
    for (unsigned i = 0; i < 128; i++)
        index[i] = (uint8_t)(i % 16 / 8 * 64 + i % 8 * 8 + i / 16);
    const __m512i low = _mm512_loadu_si512(index), high = _mm512_loadu_si512(index + 64);
    const __m512i unit = _mm512_set1_epi64((long long)0x8040201008040201ull);
    __m512i bits[8], p[8];
    UNROLL for (int k = 0; k < 8; k++) bits[k] = _mm512_gf2p8affine_epi64_epi8(unit, x[k], 0);
    UNROLL for (int half = 0; half < 2; half++) {
        const __m512i index = half ? high : low;
        __m512i q[4];  // quarter i of q[k]: plane i, bytes 16 k and on
        UNROLL for (int k = 0; k < 4; k++) q[k] =
            _mm512_permutex2var_epi8(bits[2 * k], index, bits[2 * k + 1]);
        const __m512i a = _mm512_shuffle_i32x4(q[0], q[1], 0x44);
        const __m512i b = _mm512_shuffle_i32x4(q[2], q[3], 0x44);
        const __m512i c = _mm512_shuffle_i32x4(q[0], q[1], 0xEE);
        const __m512i d = _mm512_shuffle_i32x4(q[2], q[3], 0xEE);
        p[4 * half] = _mm512_shuffle_i32x4(a, b, 0x88);
        p[4 * half + 1] = _mm512_shuffle_i32x4(a, b, 0xDD);
        p[4 * half + 2] = _mm512_shuffle_i32x4(c, d, 0x88);
        p[4 * half + 3] = _mm512_shuffle_i32x4(c, d, 0xDD);
    }
    UNROLL for (size_t k = 0; k < 8; k++) _mm512_mask_storeu_epi8(out + k * plane, mask, p[k]);
}

/// 512 elements of two bytes -> 64 bytes of sixteen planes.
TARGET CK_INLINE void planes_of_two(
    const __m512i x[16], uint8_t *out, size_t plane, __mmask64 mask) {
    uint8_t index[128];  // the first bytes, every eight backwards for the product; the second ones
    for (unsigned i = 0; i < 128; i++) index[i] = (uint8_t)((i % 64 ^ 7) * 2 + i / 64);
    const __m512i low = _mm512_loadu_si512(index), high = _mm512_loadu_si512(index + 64);
    __m512i lane[8];
    UNROLL for (int k = 0; k < 8; k++) lane[k] =
        _mm512_permutex2var_epi8(x[2 * k], low, x[2 * k + 1]);
    planes(lane, out, plane, mask);
    UNROLL for (int k = 0; k < 8; k++) lane[k] =
        _mm512_permutex2var_epi8(x[2 * k], high, x[2 * k + 1]);
    planes(lane, out + 8 * plane, plane, mask);
}

TARGET CK_INLINE void planes_of_four(
    const __m512i x[32], uint8_t *out, size_t plane, __mmask64 mask) {
    uint16_t index[64];
    for (unsigned i = 0; i < 64; i++) index[i] = (uint16_t)(i % 32 * 2 + i / 32);
    const __m512i low = _mm512_loadu_si512(index), high = _mm512_loadu_si512(index + 32);
    __m512i half[16];
    UNROLL for (int k = 0; k < 16; k++) half[k] =
        _mm512_permutex2var_epi16(x[2 * k], low, x[2 * k + 1]);
    planes_of_two(half, out, plane, mask);
    UNROLL for (int k = 0; k < 16; k++) half[k] =
        _mm512_permutex2var_epi16(x[2 * k], high, x[2 * k + 1]);
    planes_of_two(half, out + 16 * plane, plane, mask);
}

TARGET CK_INLINE void planes_of_eight(
    const uint8_t *x, uint8_t *out, size_t plane, __mmask64 mask) {
    uint32_t index[16];
    for (size_t h = 0; h < 2; h++) {
        for (unsigned i = 0; i < 16; i++) index[i] = i * 2 + (uint32_t)h;
        const __m512i order = _mm512_loadu_si512(index);
        __m512i half[32];
        UNROLL for (int k = 0; k < 32; k++) half[k] = _mm512_permutex2var_epi32(
            _mm512_loadu_si512(x + 128 * k), order, _mm512_loadu_si512(x + 128 * k + 64));
        planes_of_four(half, out + 32 * h * plane, plane, mask);
    }
}

/// 512 elements -> 64 bytes of all planes.
TARGET CK_INLINE void split(
    const uint8_t *x, uint8_t *out, size_t plane, __mmask64 mask, size_t size) {
    if (size == 8) return planes_of_eight(x, out, plane, mask);
    __m512i a[32];
    UNROLL for (size_t k = 0; k < 8 * size; k++) a[k] = _mm512_loadu_si512(x + 64 * k);
    if (size == 1) {
        const __m512i backwards = _mm512_set4_epi32(0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607);
        UNROLL for (int k = 0; k < 8; k++) a[k] = _mm512_shuffle_epi8(a[k], backwards);
        planes(a, out, plane, mask);
    }
    if (size == 2) planes_of_two(a, out, plane, mask);
    if (size == 4) planes_of_four(a, out, plane, mask);
}

#define SHUFFLE(SIZE)                                                                              \
    TARGET static void shuffle##SIZE(const uint8_t *x, uint8_t *out, size_t plane) {               \
        size_t j = 0;                                                                              \
        for (; j + 64 <= plane; j += 64) split(x + j * 8 * SIZE, out + j, plane, ~0ull, SIZE);     \
        if (j == plane) return;                                                                    \
        uint8_t rest[512 * SIZE] = {0};                                                            \
        memcpy(rest, x + j * 8 * SIZE, (plane - j) * 8 * SIZE);                                    \
        split(rest, out + j, plane, (1ull << (plane - j)) - 1, SIZE);                              \
    }
SHUFFLE(1)
SHUFFLE(2)
SHUFFLE(4)
SHUFFLE(8)

static bool is_supported(void) {
    // "avx512f" stands for the operating system's consent to 512-bit registers as well.
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi")
        && __builtin_cpu_supports("gfni");
}

bool ck_bit_shuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    if (!is_supported()) return false;
    switch (size) {
    case 1: shuffle1(x, out, n / 8); return true;
    case 2: shuffle2(x, out, n / 8); return true;
    case 4: shuffle4(x, out, n / 8); return true;
    case 8: shuffle8(x, out, n / 8); return true;
    default: return false;
    }
}

bool ck_bit_unshuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    if (!is_supported()) return false;
    switch (size) {
    case 1: unshuffle1(x, out, n / 8); return true;
    case 2: unshuffle2(x, out, n / 8); return true;
    case 4: unshuffle4(x, out, n / 8); return true;
    case 8: unshuffle8(x, out, n / 8); return true;
    default: return false;
    }
}
#else
bool ck_bit_shuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    (void)x, (void)out, (void)n, (void)size;
    return false;
}

bool ck_bit_unshuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    (void)x, (void)out, (void)n, (void)size;
    return false;
}
#endif
