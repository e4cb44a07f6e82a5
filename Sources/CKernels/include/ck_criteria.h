#pragma once
#include <stddef.h>
#include <stdint.h>

/// The divergences of ck_criterion_row: D(p || q), p the teacher's side.
enum {
    CK_FORWARD_KL = 0,
    CK_REVERSE_KL = 1,
    CK_JS = 2,
    CK_SKEWED_FORWARD_KL = 3,
    CK_SKEWED_REVERSE_KL = 4,
    CK_ADAPTIVE_KL = 5
};

/// What one row's loss is made of. Weights scale the gradient; the losses come back unweighted.
typedef struct {
    int divergence;
    float p_scale;            // p = softmax(p logits * p_scale), the inverse of its temperature
    float q_scale;            // q = softmax(q logits * q_scale)
    float skew;               // lambda of the skewed divergences
    float tail_mass;          // alpha of the adaptive one
    float divergence_weight;
    float cross_entropy_weight;
} ck_criterion_settings;

typedef struct {
    double divergence;
    double cross_entropy;
} ck_criterion_losses;

/// The largest of x (n), and the first index that holds it.
float ck_largest(const float *x, size_t n, size_t *argmax);

/// Divergence and cross-entropy of one row of logits, and the gradient of their weighted sum.
///
/// q (n) holds logits and receives the gradient with respect to them. p (p_n), p_n <= n, holds the
/// target's logits, or is NULL for cross-entropy alone; the divergence runs over the first p_n
/// columns. `label` < 0 leaves the cross-entropy out. `scratch` holds ck_criterion_scratch(n)
/// floats and is used by the adaptive divergence alone.
void ck_criterion_row(
    const float *p, size_t p_n, float *q, size_t n, int64_t label,
    const ck_criterion_settings *settings, float *scratch, ck_criterion_losses *losses);
size_t ck_criterion_scratch(size_t n);

/// Cross-entropy of one row of logits x (n), which are overwritten with weight * gradient.
/// `largest_probability` and `argmax` describe softmax(x).
double ck_cross_entropy_row(
    float *x, size_t n, size_t label, float weight, float *largest_probability, size_t *argmax);

/// x (rows, n), `stride` floats apart: softmax of scale * x over each row, in place.
void ck_softmax_rows(float *x, size_t rows, size_t n, size_t stride, float scale);
/// d (rows, n) holds the gradient by the probabilities p (rows, n) and receives the one by the
/// scores: p * (d - sum(p * d)).
void ck_softmax_rows_backward(const float *p, float *d, size_t rows, size_t n, size_t stride);
/// The sum of x (n) and of its squares, added to totals[0] and totals[1].
void ck_moments(const float *x, size_t n, double totals[2]);
