#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// HDF5's byte shuffle: byte b of element i goes to out[b * n + i], for `n` elements of `size` bytes.
void ck_byte_shuffle(const uint8_t *x, uint8_t *out, size_t n, size_t size);

/// The way back.
void ck_byte_unshuffle(const uint8_t *x, uint8_t *out, size_t n, size_t size);

#ifdef __cplusplus
}
#endif
