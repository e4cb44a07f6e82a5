/// What a cache stores of a row: int8 numbers with scales, drawn tokens.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// q (n) = x / (channel * s), rounded to nearest, within -127 to 127; s is the smallest bf16 that
/// keeps it there, and is returned. `inverse` (n) holds 1 / channel, all finite and positive.
/// A row of zeros gives s = 0.
float ck_quantize_row(const float *x, const float *inverse, int8_t *q, size_t n);
/// out (n) = q * channel * scale.
void ck_dequantize_row(
    const int8_t *q, const float *channel, float scale, float *out, size_t n);

/// Draws with replacement: entry i of p (n), each >= 0 and not all zero, has probability
/// p[i] / sum p. `u` (count) are uniform numbers of [0, 1), ascending, a draw each.
/// ids and counts (at most `count` of them) receive what was drawn, ids ascending; their number is
/// returned. count <= 65,535. `sums` holds n / 256 + 1 doubles.
size_t ck_draw(
    const float *p, size_t n, const double *u, size_t count, double *sums, uint32_t *ids,
    uint16_t *counts);
