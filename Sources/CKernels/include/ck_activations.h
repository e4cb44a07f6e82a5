#pragma once
#include <stddef.h>

/// out (n) = silu(gate) * up. `out` may be `gate`.
void ck_silu_mul(const float *gate, const float *up, float *out, size_t n);
/// Writes d_gate and d_up (n). Each may alias `gate` or `up` of the same name.
void ck_silu_mul_backward(
    const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up, size_t n);

/// out (n) = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GPT-2's `gelu_new`.
void ck_gelu_tanh(const float *x, float *out, size_t n);
/// Writes d_x (n). `d_x` may be `d_out`.
void ck_gelu_tanh_backward(const float *x, const float *d_out, float *d_x, size_t n);

/// Rotates pairs (i, i + head_dim/2) of every head by the angle of the row's position, in place.
/// x (rows, heads * head_dim) with `stride` floats between rows; cosines and sines
/// (positions, head_dim/2); `direction` +1 forward, -1 for the backward pass.
void ck_rope(
    float *x, const int *positions, const float *cosines, const float *sines, size_t rows,
    size_t heads, size_t head_dim, size_t stride, float direction);
