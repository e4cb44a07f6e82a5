/// How far one row of logits is from another: for a table of what storage costs.
#pragma once
#include <stddef.h>

/// log sum exp of x (n) * scale, in double: block sums are float, their sum is not.
double ck_log_partition(const float *x, size_t n, float scale);

/// p (n) = softmax(x * scale); `p` may be `x`. Returns log sum exp(x * scale).
double ck_softmax_of(const float *x, float *p, size_t n, float scale);

typedef struct {
    double kl;        // sum p log(p / q), in nats
    double squares;   // sum (q - p)^2
    double absolute;  // sum |q - p|
} ck_distances;

/// p (n) = softmax(z * scale) against q = softmax(y * scale): d (n) = q - p, and its sums.
///
/// `log_z` and `log_y` are the log-partitions of z * scale and y * scale. The divergence is summed
/// as p (e^u - 1 - u), u = log(q / p): no term is below zero, so one of 1e-10 keeps its digits in float.
void ck_distances_row(
    const float *z, double log_z, const float *y, double log_y, float scale, const float *p,
    float *d, size_t n, ck_distances *out);

typedef struct {
    double p, r;     // sums of p and r
    double pp, rr;   // sums of p^2 and r^2
    double gap;      // sum (s - p)^2
    double gap_r;    // sum (s - p) r
    double p_log_p;  // sum p log p
} ck_tail_sums;

/// Sums over three distributions of one row: p (n) = softmax(z * scale), s (n) and r (n). Where entries
/// of all are set to zero, the sums run over the others.
void ck_tail_row(
    const float *z, double log_z, float scale, const float *p, const float *s, const float *r,
    size_t n, ck_tail_sums *out);

/// total (n) += the sum over rows of x (rows, n), `stride` floats apart.
void ck_add_column_sums(const float *x, size_t rows, size_t stride, double *total, size_t n);
