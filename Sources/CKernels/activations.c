#include "include/ck_activations.h"

#include "vector.h"

CK_CLONES void ck_silu_mul(const float *gate, const float *up, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i];
        out[i] = g / (1.0f + ck_exp(-g)) * up[i];
    }
}

CK_CLONES void ck_silu_mul_backward(
    const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = d_out[i];
        float s = 1.0f / (1.0f + ck_exp(-g));
        d_gate[i] = d * u * s * (1.0f + g * (1.0f - s));
        d_up[i] = d * g * s;
    }
}

// sqrt(2/pi), and twice it: 0.5 (1 + tanh(y)) is the logistic function of 2y.
#define GELU_SLOPE 0.7978845608028654f
#define GELU_CUBIC 0.044715f

CK_CLONES void ck_gelu_tanh(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float a = x[i];
        float y = GELU_SLOPE * (a + GELU_CUBIC * a * a * a);
        out[i] = a / (1.0f + ck_exp(-2.0f * y));
    }
}

CK_CLONES void ck_gelu_tanh_backward(const float *x, const float *d_out, float *d_x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float a = x[i];
        float y = GELU_SLOPE * (a + GELU_CUBIC * a * a * a);
        float s = 1.0f / (1.0f + ck_exp(-2.0f * y));
        float dy = GELU_SLOPE * (1.0f + 3.0f * GELU_CUBIC * a * a);
        d_x[i] = d_out[i] * (s + 2.0f * a * s * (1.0f - s) * dy);
    }
}

CK_CLONES void ck_rope(
    float *x, const int *positions, const float *cosines, const float *sines, size_t rows,
    size_t heads, size_t head_dim, size_t stride, float direction) {
    size_t half = head_dim / 2;
    for (size_t r = 0; r < rows; r++) {
        const float *c = cosines + (size_t)positions[r] * half;
        const float *s = sines + (size_t)positions[r] * half;
        for (size_t h = 0; h < heads; h++) {
            float *restrict low = x + r * stride + h * head_dim;
            float *restrict high = low + half;
            for (size_t i = 0; i < half; i++) {
                float a = low[i], b = high[i], sine = direction * s[i];
                low[i] = a * c[i] - b * sine;
                high[i] = b * c[i] + a * sine;
            }
        }
    }
}
