#pragma once
#include <stddef.h>

/// out (n) = x * sigmoid(x); for all of these, `out` may be `x` and `d_x` may be `d_out`.
void ck_silu(const float *x, float *out, size_t n);
void ck_silu_backward(const float *x, const float *d_out, float *d_x, size_t n);
/// out (n) = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GPT-2's `gelu_new`, `gelu_pytorch_tanh`.
void ck_gelu_tanh(const float *x, float *out, size_t n);
void ck_gelu_tanh_backward(const float *x, const float *d_out, float *d_x, size_t n);
/// out (n) = 0.5 x (1 + erf(x / sqrt(2))), to 2e-7.
void ck_gelu(const float *x, float *out, size_t n);
void ck_gelu_backward(const float *x, const float *d_out, float *d_x, size_t n);

/// out (n) = activation(gate) * up. `out` may be `gate`.
void ck_silu_mul(const float *gate, const float *up, float *out, size_t n);
void ck_gelu_tanh_mul(const float *gate, const float *up, float *out, size_t n);
void ck_gelu_mul(const float *gate, const float *up, float *out, size_t n);
/// Write d_gate and d_up (n). Each may alias `gate` or `up` of the same name, d_gate also `d_out`.
void ck_silu_mul_backward(
    const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up, size_t n);
void ck_gelu_tanh_mul_backward(
    const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up, size_t n);
void ck_gelu_mul_backward(
    const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up, size_t n);

/// x (n) = cap * tanh(x / cap).
void ck_soft_cap(float *x, size_t n, float cap);
/// d (n) *= the slope at the input whose capped value is y (n): 1 - (y / cap)^2.
void ck_soft_cap_backward(const float *y, float *d, size_t n, float cap);

/// Rotates pairs (i, i + size/2) of the first `size` channels of every head by the angle of the row's
/// position, in place. x (rows, heads) with `stride` floats between rows and `head_step` between heads;
/// cosines and sines (positions, size/2); `direction` +1 forward, -1 for the backward pass.
void ck_rope(
    float *x, const int *positions, const float *cosines, const float *sines, size_t rows,
    size_t heads, size_t size, size_t head_step, size_t stride, float direction);
