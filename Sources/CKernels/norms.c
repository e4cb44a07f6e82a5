#include "include/ck_norms.h"

#include "vector.h"

// The pragmas allow sums in any order: that is what lets the loops be vectorised.


CK_INLINE float row_sum_of_squares(const float *x, size_t n) {
#pragma clang fp reassociate(on)
    float s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * x[i];
    return s;
}

CK_CLONES void ck_rms_norm(
    const float *x, const float *weight, float *out, size_t rows, size_t n, float eps,
    float offset) {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * n;
        float *yr = out + r * n;
        float scale = 1.0f / sqrtf(row_sum_of_squares(xr, n) / (float)n + eps);
        for (size_t i = 0; i < n; i++) yr[i] = xr[i] * scale * (offset + weight[i]);
    }
}

CK_CLONES void ck_rms_norm_backward(
    const float *x, const float *weight, const float *d_out, float *d_x, float *d_weight,
    size_t rows, size_t n, float eps, float offset) {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t r = 0; r < rows; r++) {
        const float *restrict xr = x + r * n;
        const float *restrict gr = d_out + r * n;
        float *restrict dr = d_x + r * n;
        float scale = 1.0f / sqrtf(row_sum_of_squares(xr, n) / (float)n + eps);
        float dot = 0;
        for (size_t i = 0; i < n; i++) dot += gr[i] * (offset + weight[i]) * xr[i];
        float shift = dot * scale * scale * scale / (float)n;
        for (size_t i = 0; i < n; i++) {
            dr[i] += gr[i] * (offset + weight[i]) * scale - xr[i] * shift;
        }
        for (size_t i = 0; i < n; i++) d_weight[i] += gr[i] * xr[i] * scale;
    }
}

typedef struct {
    float mean, scale;
} moments;

CK_INLINE moments row_moments(const float *x, size_t n, float eps) {
#pragma clang fp reassociate(on) contract(fast)
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    float mean = sum / (float)n;
    float variance = 0;
    for (size_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1.0f / sqrtf(variance / (float)n + eps)};
}

CK_CLONES void ck_layer_norm(
    const float *x, const float *weight, const float *bias, float *out, size_t rows, size_t n,
    float eps) {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * n;
        float *yr = out + r * n;
        moments m = row_moments(xr, n, eps);
        for (size_t i = 0; i < n; i++) yr[i] = (xr[i] - m.mean) * m.scale * weight[i] + bias[i];
    }
}

CK_CLONES void ck_layer_norm_backward(
    const float *x, const float *weight, const float *d_out, float *d_x, float *d_weight,
    float *d_bias, size_t rows, size_t n, float eps) {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t r = 0; r < rows; r++) {
        const float *restrict xr = x + r * n;
        const float *restrict gr = d_out + r * n;
        float *restrict dr = d_x + r * n;
        moments m = row_moments(xr, n, eps);
        float sum = 0, dot = 0;
        for (size_t i = 0; i < n; i++) {
            float g = gr[i] * weight[i];
            sum += g;
            dot += g * (xr[i] - m.mean);
        }
        float mean_g = sum / (float)n;
        float mean_dot = dot * m.scale * m.scale / (float)n;
        for (size_t i = 0; i < n; i++) {
            dr[i] += m.scale * (gr[i] * weight[i] - mean_g - (xr[i] - m.mean) * mean_dot);
        }
        for (size_t i = 0; i < n; i++) {
            d_weight[i] += gr[i] * (xr[i] - m.mean) * m.scale;
            d_bias[i] += gr[i];
        }
    }
}
