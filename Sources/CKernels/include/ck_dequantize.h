#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Stored weights to float, and back for the writer. `blocks` holds `n` blocks of the type (for
/// f16, bf16 and f64 a block is one element) at any alignment, little-endian; `out` takes all their
/// elements in order. Block layouts: GGUF specification, as read by the `gguf` Python package, to
/// whose results these are equal bit for bit (no multiply and add is fused).

void ck_dequantize_f32(const void *blocks, float *out, size_t n);
void ck_dequantize_f16(const void *blocks, float *out, size_t n);
void ck_dequantize_bf16(const void *blocks, float *out, size_t n);
void ck_dequantize_f64(const void *blocks, float *out, size_t n);
/// 32 elements a block.
void ck_dequantize_q4_0(const void *blocks, float *out, size_t n);
void ck_dequantize_q4_1(const void *blocks, float *out, size_t n);
void ck_dequantize_q5_0(const void *blocks, float *out, size_t n);
void ck_dequantize_q5_1(const void *blocks, float *out, size_t n);
void ck_dequantize_q8_0(const void *blocks, float *out, size_t n);
void ck_dequantize_iq4_nl(const void *blocks, float *out, size_t n);
/// 256 elements a block.
void ck_dequantize_q2_k(const void *blocks, float *out, size_t n);
void ck_dequantize_q3_k(const void *blocks, float *out, size_t n);
void ck_dequantize_q4_k(const void *blocks, float *out, size_t n);
void ck_dequantize_q5_k(const void *blocks, float *out, size_t n);
void ck_dequantize_q6_k(const void *blocks, float *out, size_t n);
void ck_dequantize_iq4_xs(const void *blocks, float *out, size_t n);

/// Float to half precision, rounded to nearest even; NaN stays NaN.
void ck_weights_to_f16(const float *values, uint16_t *out, size_t n);
/// Float to n blocks of Q8_0 (34 bytes each): d = max|x| / 127 as half, quotients of the unrounded d to
/// nearest, halves away from 0. `values` (32 n) must be finite.
void ck_quantize_q8_0(const float *values, void *blocks, size_t n);
/// max|x| of x (n); not finite when one of them is not.
float ck_largest_magnitude(const float *x, size_t n);

#ifdef __cplusplus
}
#endif
