#include "include/ck_activations.h"

#include "vector.h"

// Each activation as its value and its slope at x; the loops below are the same for all.

CK_INLINE float silu(float x) { return x / (1.0f + ck_exp(-x)); }

CK_INLINE float silu_slope(float x) {
    float s = 1.0f / (1.0f + ck_exp(-x));
    return s * (1.0f + x * (1.0f - s));
}

// sqrt(2/pi), and twice it: 0.5 (1 + tanh(y)) is the logistic function of 2y.
#define GELU_SLOPE 0.7978845608028654f
#define GELU_CUBIC 0.044715f

CK_INLINE float gelu_tanh(float x) {
    float y = GELU_SLOPE * (x + GELU_CUBIC * x * x * x);
    return x / (1.0f + ck_exp(-2.0f * y));
}

CK_INLINE float gelu_tanh_slope(float x) {
    float y = GELU_SLOPE * (x + GELU_CUBIC * x * x * x);
    float s = 1.0f / (1.0f + ck_exp(-2.0f * y));
    float dy = GELU_SLOPE * (1.0f + 3.0f * GELU_CUBIC * x * x);
    return s + 2.0f * x * s * (1.0f - s) * dy;
}

/// The normal distribution function, by the approximation 7.1.26 of Abramowitz and Stegun to erf (error
/// below 1.5e-7). The tail is computed for |x|, so that it loses no digits to 1 - erf.
CK_INLINE float normal_below(float x, float density) {
    float z = fabsf(x) * 0.7071067811865476f;
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float tail = 0.5f * p * t * density;
    return x < 0 ? tail : 1.0f - tail;
}

CK_INLINE float gelu(float x) { return x * normal_below(x, ck_exp(-0.5f * x * x)); }

CK_INLINE float gelu_slope(float x) {
    float density = ck_exp(-0.5f * x * x);
    return normal_below(x, density) + x * density * 0.3989422804014327f;
}

// An output may be one of the inputs. The compiler would look for that and then take one element at a time;
// but every element depends on none but those at its own place.
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; i++)

#define ACTIVATION(name)                                                                           \
    CK_CLONES void ck_##name(const float *x, float *out, size_t n) { EACH out[i] = name(x[i]); }   \
    CK_CLONES void ck_##name##_backward(                                                           \
        const float *x, const float *d_out, float *d_x, size_t n) {                                \
        EACH d_x[i] = d_out[i] * name##_slope(x[i]);                                               \
    }                                                                                              \
    CK_CLONES void ck_##name##_mul(const float *gate, const float *up, float *out, size_t n) {     \
        EACH out[i] = name(gate[i]) * up[i];                                                       \
    }                                                                                              \
    CK_CLONES void ck_##name##_mul_backward(                                                       \
        const float *gate, const float *up, const float *d_out, float *d_gate, float *d_up,        \
        size_t n) {                                                                                \
        EACH {                                                                                     \
            float g = gate[i], u = up[i], d = d_out[i];                                            \
            d_gate[i] = d * u * name##_slope(g);                                                   \
            d_up[i] = d * name(g);                                                                 \
        }                                                                                          \
    }

ACTIVATION(silu)
ACTIVATION(gelu_tanh)
ACTIVATION(gelu)

CK_CLONES void ck_soft_cap(float *x, size_t n, float cap) {
    float inverse = 1.0f / cap;
    for (size_t i = 0; i < n; i++) x[i] = cap * ck_tanh(x[i] * inverse);
}

CK_CLONES void ck_soft_cap_backward(const float *y, float *d, size_t n, float cap) {
    float inverse = 1.0f / cap;
    for (size_t i = 0; i < n; i++) {
        float t = y[i] * inverse;
        d[i] *= 1.0f - t * t;
    }
}

CK_CLONES void ck_rope(
    float *x, const int *positions, const float *cosines, const float *sines, size_t rows,
    size_t heads, size_t size, size_t head_step, size_t stride, float direction) {
    size_t half = size / 2;
    for (size_t r = 0; r < rows; r++) {
        const float *c = cosines + (size_t)positions[r] * half;
        const float *s = sines + (size_t)positions[r] * half;
        for (size_t h = 0; h < heads; h++) {
            float *restrict low = x + r * stride + h * head_step;
            float *restrict high = low + half;
            for (size_t i = 0; i < half; i++) {
                float a = low[i], b = high[i], sine = direction * s[i];
                low[i] = a * c[i] - b * sine;
                high[i] = b * c[i] + a * sine;
            }
        }
    }
}
