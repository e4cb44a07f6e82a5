#include "include/ck_elementwise.h"

#include "vector.h"

CK_CLONES void ck_add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

CK_CLONES void ck_axpy(float *y, const float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

CK_CLONES void ck_scale(float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] *= a;
}

CK_CLONES void ck_dropout(float *x, size_t n, size_t first, uint64_t key, float rate) {
    const uint32_t threshold = ck_drop_threshold(rate);
    const float scale = 1.0f / (1.0f - rate);
    for (size_t i = 0; i < n; i++) {
        x[i] = ck_random_bits((uint32_t)(first + i), key) < threshold ? 0.0f : x[i] * scale;
    }
}

CK_CLONES void ck_add_bias(float *out, const float *bias, size_t rows, size_t n, size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        float *restrict y = out + r * stride;
        for (size_t i = 0; i < n; i++) y[i] += bias[i];
    }
}

CK_CLONES void ck_column_sums(
    const float *x, float *sums, size_t rows, size_t n, size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * stride;
        for (size_t i = 0; i < n; i++) sums[i] += xr[i];
    }
}

// Long sums: blocks in float, blocks added in double.
#define BLOCK 4096

CK_INLINE float block_of_squares(const float *x, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
    float s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * x[i];
    return s;
}

CK_CLONES double ck_sum_of_squares(const float *x, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        total += block_of_squares(x + i, n - i < BLOCK ? n - i : BLOCK);
    }
    return total;
}

CK_CLONES size_t ck_count_nonfinite(const float *x, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, 4);
        count += (u & 0x7F800000u) == 0x7F800000u;
    }
    return count;
}

CK_CLONES void ck_to_bf16(const float *restrict x, uint16_t *restrict out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, 4);
        const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
        // Rounding a NaN could carry into infinity: keep it, quiet.
        const uint32_t nan = (u >> 16) | 0x40u;
        out[i] = (uint16_t)((u & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
    }
}

CK_CLONES void ck_from_bf16(const uint16_t *restrict x, float *restrict out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = (uint32_t)x[i] << 16;
        memcpy(out + i, &u, 4);
    }
}

CK_CLONES void ck_adamw(
    float *restrict weight, const float *restrict gradient, float *restrict m, float *restrict v,
    size_t n, float learning_rate, float beta1, float beta2, float eps, float weight_decay,
    float correction1, float correction2, float gradient_scale) {
    float step = learning_rate / correction1;
    float root = 1.0f / sqrtf(correction2);
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * gradient_scale;
        float mi = beta1 * m[i] + (1.0f - beta1) * g;
        float vi = beta2 * v[i] + (1.0f - beta2) * g * g;
        m[i] = mi;
        v[i] = vi;
        float decayed = weight[i] * (1.0f - learning_rate * weight_decay);
        weight[i] = decayed - step * mi / (sqrtf(vi) * root + eps);
    }
}

CK_CLONES float ck_log_sum_exp(const float *x, size_t n, float scale, size_t *argmax) {
#pragma clang fp reassociate(on)
    float top = x[0];
    for (size_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    if (argmax) {
        size_t at = 0;
        while (at < n && x[at] != top) at++;
        *argmax = at < n ? at : 0;
    }
    // Partial sums of 4,096 keep the float error of a 150,000-word vocabulary below 1e-6.
    double total = 0;
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t stop = start + BLOCK < n ? start + BLOCK : n;
        float s = 0;
        for (size_t i = start; i < stop; i++) s += ck_exp((x[i] - top) * scale);
        total += s;
    }
    return top * scale + (float)log(total);
}

CK_CLONES void ck_softmax_from(float *x, size_t n, float scale, float log_partition) {
    for (size_t i = 0; i < n; i++) x[i] = ck_exp(x[i] * scale - log_partition);
}
