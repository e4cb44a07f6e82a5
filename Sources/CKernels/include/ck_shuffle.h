/// Bytes on their way to and from disk: bit shuffle, two-byte floats.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// out (size * 8 planes of n / 8 bytes): plane k holds bit k of every element of x (n elements of
/// `size` bytes), eight elements to a byte, the first one in the lowest bit.
/// n is a multiple of 8. `scratch` holds n * size bytes. The three do not overlap.
void ck_bit_shuffle(const uint8_t *x, uint8_t *out, uint8_t *scratch, size_t n, size_t size);

/// The inverse of `ck_bit_shuffle`, same conditions.
void ck_bit_unshuffle(const uint8_t *x, uint8_t *out, uint8_t *scratch, size_t n, size_t size);

/// out (n) = x (n) rounded to IEEE half, ties to even; too large becomes infinity.
void ck_f32_to_f16(const float *x, uint16_t *out, size_t n);
/// out (n) = x (n) IEEE half, exact.
void ck_f16_to_f32(const uint16_t *x, float *out, size_t n);

#ifdef __cplusplus
}
#endif
