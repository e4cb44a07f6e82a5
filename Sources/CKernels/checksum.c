#include "ck_checksum.h"

#include "common.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// One byte of CRC-32C at a time from a table of 16 (two half bytes): for machines without the
/// instruction, and for the last bytes.
static uint32_t crc32c_bytes(uint32_t crc, const uint8_t *x, size_t n) {
    static const uint32_t table[16] = {
        0x00000000u, 0x105EC76Fu, 0x20BD8EDEu, 0x30E349B1u, 0x417B1DBCu, 0x5125DAD3u,
        0x61C69362u, 0x7198540Du, 0x82F63B78u, 0x92A8FC17u, 0xA24BB5A6u, 0xB21572C9u,
        0xC38D26C4u, 0xD3D3E1ABu, 0xE330A81Au, 0xF36E6F75u,
    };
    for (size_t i = 0; i < n; i++) {
        crc ^= x[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return crc;
}

#if defined(__x86_64__)
/// Eight bytes at a time by the instruction.
__attribute__((target("sse4.2"))) static uint32_t crc32c_words(
    uint32_t crc, const uint8_t *x, size_t n) {
    uint64_t c = crc;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, x + i, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; i < n; i++) c = _mm_crc32_u8((uint32_t)c, x[i]);
    return (uint32_t)c;
}

// Folding by carry-less products, after Gopal and others, "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction" (Intel, 2009).
//
// The CRC is the remainder of the message, as a polynomial over GF(2), modulo
// P = x^32 + 0x1EDC6F41. The first bit has the highest power, and it is the lowest bit of the first
// byte: bit i of a 16-byte register stands for x^(127 - i). Moving a register d bits ahead, onto
// bytes that come later, multiplies it by x^d; modulo P that is
//     low half * (x^(64 + d) mod P) + high half * (x^d mod P),
// both halves taken as polynomials whose bit i stands for x^(63 - i): two products of 64 bits, which
// fit the register again. In this mirrored order a product comes out one power of x too high, and
// a factor of 32 bits in the low half of its word has 32 powers too many, so the factors are
//     x^(64 + d - 33) mod P and x^(d - 33) mod P.
// The n-th power is 0x80000000 (which is x^0), n times over: c = c >> 1 ^ (c & 1 ? 0x82F63B78 : 0).
#define FOLD_BY_128 0xF20C0DFEu, 0x493C7D27u  // x^159, x^95
#define FOLD_BY_512 0x740EEF02u, 0x9E4ADDF8u  // x^543, x^479
#define FOLD_BY_2048 0xDCB17AA4u, 0xB9E02B86u  // x^2079, x^2015

/// The remainder of what is left in one register, by the instruction: it knows the polynomial.
__attribute__((target("sse4.2"))) CK_INLINE uint32_t crc32c_register(__m128i a) {
    uint64_t words[2];
    memcpy(words, &a, 16);
    return (uint32_t)_mm_crc32_u64(_mm_crc32_u64(0, words[0]), words[1]);
}

#define TARGET_128 __attribute__((target("sse4.2,pclmul")))

TARGET_128 CK_INLINE __m128i factors_128(uint32_t low, uint32_t high) {
    return _mm_set_epi64x(high, low);
}

TARGET_128 CK_INLINE __m128i fold_128(__m128i a, __m128i factors, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(a, factors, 0x00);
    const __m128i high = _mm_clmulepi64_si128(a, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/// Four registers of 16 bytes: as many as hide the product's latency.
TARGET_128 static uint32_t crc32c_fold_128(uint32_t crc, const uint8_t *x, size_t n) {
    if (n < 64) return crc32c_words(crc, x, n);
    const __m128i by_512 = factors_128(FOLD_BY_512), by_128 = factors_128(FOLD_BY_128);
    __m128i a[4];
    for (int k = 0; k < 4; k++) a[k] = _mm_loadu_si128((const __m128i *)(x + 16 * k));
    a[0] = _mm_xor_si128(a[0], _mm_cvtsi32_si128((int)crc));
    size_t i = 64;
    for (; i + 64 <= n; i += 64)
        for (int k = 0; k < 4; k++)
            a[k] = fold_128(a[k], by_512, _mm_loadu_si128((const __m128i *)(x + i + 16 * k)));
    for (int k = 1; k < 4; k++) a[k] = fold_128(a[k - 1], by_128, a[k]);
    return crc32c_words(crc32c_register(a[3]), x + i, n - i);
}

#define TARGET_512 __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,vpclmulqdq")))

TARGET_512 CK_INLINE __m512i factors_512(uint32_t low, uint32_t high) {
    return _mm512_broadcast_i32x4(_mm_set_epi64x(high, low));
}

TARGET_512 CK_INLINE __m512i fold_512(__m512i a, __m512i factors, __m512i next) {
    const __m512i low = _mm512_clmulepi64_epi128(a, factors, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(a, factors, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // the sum of all three
}

/// Four registers of 64 bytes.
TARGET_512 static uint32_t crc32c_fold_512(uint32_t crc, const uint8_t *x, size_t n) {
    if (n < 256) return crc32c_fold_128(crc, x, n);
    const __m512i by_2048 = factors_512(FOLD_BY_2048), by_512 = factors_512(FOLD_BY_512);
    __m512i a[4];
    for (int k = 0; k < 4; k++) a[k] = _mm512_loadu_si512(x + 64 * k);
    a[0] = _mm512_xor_si512(a[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    size_t i = 256;
    for (; i + 256 <= n; i += 256)
        for (int k = 0; k < 4; k++)
            a[k] = fold_512(a[k], by_2048, _mm512_loadu_si512(x + i + 64 * k));
    for (int k = 1; k < 4; k++) a[k] = fold_512(a[k - 1], by_512, a[k]);
    __m512i all = a[3];
    for (; i + 64 <= n; i += 64) all = fold_512(all, by_512, _mm512_loadu_si512(x + i));
    __m128i last = _mm512_castsi512_si128(all);
    last = fold_128(last, factors_128(FOLD_BY_128), _mm512_extracti32x4_epi32(all, 1));
    last = fold_128(last, factors_128(FOLD_BY_128), _mm512_extracti32x4_epi32(all, 2));
    last = fold_128(last, factors_128(FOLD_BY_128), _mm512_extracti32x4_epi32(all, 3));
    return crc32c_words(crc32c_register(last), x + i, n - i);
}
#endif

uint32_t ck_crc32c(uint32_t seed, const uint8_t *x, size_t n) {
    const uint32_t crc = ~seed;
#if defined(__x86_64__)
    // "avx512f" stands for the operating system's consent to 512-bit registers as well.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("vpclmulqdq"))
        return ~crc32c_fold_512(crc, x, n);
    if (__builtin_cpu_supports("sse4.2")) {
        if (__builtin_cpu_supports("pclmul")) return ~crc32c_fold_128(crc, x, n);
        return ~crc32c_words(crc, x, n);
    }
#endif
    return ~crc32c_bytes(crc, x, n);
}
