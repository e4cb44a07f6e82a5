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
    float label_smoothing;    // share of the cross-entropy's target that lies evenly on all tokens
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
/// target's logits, or is NULL for cross-entropy alone (no gradient at all without a label); the divergence runs over the first p_n
/// columns. `label` < 0 leaves the cross-entropy out. `scratch` holds ck_criterion_scratch(n)
/// floats and is used by the adaptive divergence alone.
void ck_criterion_row(
    const float *p, size_t p_n, float *q, size_t n, int64_t label,
    const ck_criterion_settings *settings, float *scratch, ck_criterion_losses *losses);
size_t ck_criterion_scratch(size_t n);

/// Cross-entropy of one row of logits x (n), which are overwritten with weight * gradient.
/// `smoothing` is as in ck_criterion_settings; `largest_probability` and `argmax` describe softmax(x).
double ck_cross_entropy_row(
    float *x, size_t n, size_t label, float weight, float smoothing, float *largest_probability,
    size_t *argmax);

/// As ck_criterion_row, with a target of which k tokens are known: `ids`, all different and below n,
/// and their log-probabilities at temperature 1.
///
/// With `ghost`, the logarithm of the mass that the target has elsewhere, both sides are brought to
/// k + 1 outcomes at temperature 1 (the last is every other token) and then tempered. Without, the
/// target is zero elsewhere, and q is tempered over all tokens; reverse and adaptive KL are infinite
/// then. `scratch` holds ck_sparse_scratch(k) floats.
void ck_sparse_row(
    const uint32_t *ids, const float *log_p, size_t k, const float *ghost, float *q, size_t n,
    int64_t label, const ck_criterion_settings *settings, float *scratch,
    ck_criterion_losses *losses);
size_t ck_sparse_scratch(size_t k);

/// Sum of |p_(r) - q_(r)| over ranks, both sorted from the largest down, the shorter one padded with
/// zeros (ULD), in `losses->divergence`; for the rest as ck_criterion_row.
///
/// p (p_n) holds probabilities. `tail` < 0: they are all; else q beyond rank p_n counts as one, held
/// against `tail`. Temperature is 1. `scratch` holds ck_sorted_scratch(p_n, n) numbers.
void ck_sorted_row(
    const float *p, size_t p_n, float tail, float *q, size_t n, int64_t label,
    const ck_criterion_settings *settings, uint64_t *scratch, ck_criterion_losses *losses);
size_t ck_sorted_scratch(size_t p_n, size_t n);

/// out (n): the logarithms of softmax(scale * x), x (x_n), carried over by `map` (x_n): token i's
/// probability goes to token map[i] < n; where none goes, out is far below every logarithm.
void ck_mapped_row(
    const float *x, size_t x_n, float scale, const uint32_t *map, float *out, size_t n);

/// x (rows, n), `stride` floats apart: softmax of scale * x over each row, in place.
void ck_softmax_rows(float *x, size_t rows, size_t n, size_t stride, float scale);
/// d (rows, n) holds the gradient by the probabilities p (rows, n) and receives the one by the
/// scores: p * (d - sum(p * d)).
void ck_softmax_rows_backward(const float *p, float *d, size_t rows, size_t n, size_t stride);
/// The sum of x (n) and of its squares, added to totals[0] and totals[1].
void ck_moments(const float *x, size_t n, double totals[2]);
