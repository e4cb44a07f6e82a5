#pragma once
#include <stddef.h>

/// out (rows, n) = x / rms(x) * (offset + weight (n)), rms over each row with eps added to the mean
/// square; the offset is 1 in Gemma, else 0. `out` may be `x`.
void ck_rms_norm(
    const float *x, const float *weight, float *out, size_t rows, size_t n, float eps,
    float offset);

/// Adds to d_x (rows, n) and to d_weight (n). `d_out` may not alias either.
void ck_rms_norm_backward(
    const float *x, const float *weight, const float *d_out, float *d_x, float *d_weight,
    size_t rows, size_t n, float eps, float offset);

/// out (rows, n) = (x - mean) / sqrt(var + eps) * weight + bias, the variance biased (divided by n).
void ck_layer_norm(
    const float *x, const float *weight, const float *bias, float *out, size_t rows, size_t n,
    float eps);

/// Adds to d_x (rows, n), d_weight (n) and d_bias (n).
void ck_layer_norm_backward(
    const float *x, const float *weight, const float *d_out, float *d_x, float *d_weight,
    float *d_bias, size_t rows, size_t n, float eps);
