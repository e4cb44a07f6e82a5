#pragma once
#include <stddef.h>
#include <stdint.h>

void ck_add(float *y, const float *x, size_t n);                 // y += x
void ck_axpy(float *y, const float *x, float a, size_t n);       // y += a x
void ck_scale(float *x, float a, size_t n);                      // x *= a
/// out (rows, n) = in (rows, n) + bias (n); `out` may be `in`.
void ck_add_bias(float *out, const float *bias, size_t rows, size_t n, size_t stride);
/// sums (n) += the sum over rows of x (rows, n) with `stride` floats between rows.
void ck_column_sums(const float *x, float *sums, size_t rows, size_t n, size_t stride);
double ck_sum_of_squares(const float *x, size_t n);
/// Sets a share `rate` of x (n) to 0 and divides the others by 1 - rate. Which ones is a function of `key`
/// and of first, first + 1, …, the numbers' places.
void ck_dropout(float *x, size_t n, size_t first, uint64_t key, float rate);
/// The number of values that are NaN or infinite.
size_t ck_count_nonfinite(const float *x, size_t n);
/// out (n) = x (n) rounded to bf16, ties to even; a NaN stays a NaN.
void ck_to_bf16(const float *x, uint16_t *out, size_t n);
/// out (n) = x (n) bf16, exact.
void ck_from_bf16(const uint16_t *x, float *out, size_t n);

/// One AdamW step (Loshchilov and Hutter 2019, algorithm 2, as PyTorch computes it):
/// decoupled decay first, then the bias-corrected moments.
void ck_adamw(
    float *weight, const float *gradient, float *m, float *v, size_t n, float learning_rate,
    float beta1, float beta2, float eps, float weight_decay, float correction1, float correction2,
    float gradient_scale);

/// log sum exp of x (n) * scale, and the index of the largest value (the first of equals).
float ck_log_sum_exp(const float *x, size_t n, float scale, size_t *argmax);
/// x (n) = exp(x * scale - log_partition).
void ck_softmax_from(float *x, size_t n, float scale, float log_partition);

/// The k largest of x (n), descending, ties by the smaller index: ids (k) and values (k).
/// `heap` holds k uint64.
void ck_top_k(const float *x, size_t n, size_t k, uint32_t *ids, float *values, uint64_t *heap);
