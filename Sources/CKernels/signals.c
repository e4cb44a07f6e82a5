#include "common.h"
#include "include/ck_signals.h"

CK_CLONES static float largest_scaled(const float *x, const float *inverse, size_t n) {
    float top = 0;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i] * inverse[i]);
        top = a > top ? a : top;
    }
    return top;
}

CK_CLONES static void quantize(
    const float *x, const float *inverse, float factor, int8_t *q, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * inverse[i] * factor;
        // The product of rounded numbers may lie a little beyond 127.
        v = v > 127.0f ? 127.0f : (v < -127.0f ? -127.0f : v);
        // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even.
        q[i] = (int8_t)((v + 12582912.0f) - 12582912.0f);
    }
}

float ck_quantize_row(const float *x, const float *inverse, int8_t *q, size_t n) {
    union { float f; uint32_t u; } scale = {largest_scaled(x, inverse, n) / 127.0f};
    // The smallest normal number: below it 1 / scale would be infinite.
    if (!(scale.f >= 0x1p-126f)) {
        memset(q, 0, n);
        return 0;
    }
    // Rounded up to a bf16.
    scale.u = (scale.u + 0xffffu) & 0xffff0000u;
    quantize(x, inverse, 1.0f / scale.f, q, n);
    return scale.f;
}

CK_CLONES void ck_dequantize_row(
    const int8_t *q, const float *channel, float scale, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = (float)q[i] * (channel[i] * scale);
}

enum { BLOCK = 256, LANES = 8 };

// The order of additions is fixed, so that every instruction set draws the same tokens.
CK_CLONES static double block_sums(const float *p, size_t n, double *sums) {
    double total = 0;
    for (size_t start = 0, block = 0; start < n; start += BLOCK, block++) {
        size_t stop = n - start < BLOCK ? n : start + BLOCK;
        double lane[LANES] = {0};
        size_t i = start;
        for (; i + LANES <= stop; i += LANES)
            for (size_t l = 0; l < LANES; l++) lane[l] += (double)p[i + l];
        for (size_t l = 0; i < stop; i++, l++) lane[l] += (double)p[i];
        total += ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
                 ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        sums[block] = total;
    }
    return total;
}

size_t ck_draw(
    const float *p, size_t n, const double *u, size_t count, double *sums, uint32_t *ids,
    uint16_t *counts) {
    double total = block_sums(p, n, sums);
    size_t blocks = (n + BLOCK - 1) / BLOCK;
    size_t block = 0, at = 0, found = 0;
    double reached = n > 0 ? (double)p[0] : 0;  // the sum of p up to and with `at`
    for (size_t draw = 0; draw < count; draw++) {
        double target = u[draw] * total;
        while (block + 1 < blocks && sums[block] <= target) {
            block++;
            at = block * BLOCK;
            reached = sums[block - 1] + (double)p[at];
        }
        size_t last = block + 1 < blocks ? block * BLOCK + BLOCK - 1 : n - 1;
        while (at < last && reached <= target) reached += (double)p[++at];
        // The lanes' sum may exceed the walk's by a rounding: never an entry that cannot be drawn.
        while (at > 0 && p[at] == 0) at--;
        if (found > 0 && ids[found - 1] == (uint32_t)at) {
            counts[found - 1]++;
        } else {
            ids[found] = (uint32_t)at;
            counts[found++] = 1;
        }
    }
    return found;
}
