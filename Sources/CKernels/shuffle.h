/// The bit shuffle's ways for particular machines.
#pragma once
#include <stdbool.h>

#include "common.h"

/// `ck_bit_shuffle` and `ck_bit_unshuffle` by AVX-512 and GFNI; false, and nothing done, where the
/// machine lacks them or the elements have another size than 1, 2, 4 or 8 bytes.
bool ck_bit_shuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size);
bool ck_bit_unshuffle_gfni(const uint8_t *x, uint8_t *out, size_t n, size_t size);
