#include "criteria.h"

/// p, q, the kept logits of q, and what the small row needs.
size_t ck_sparse_scratch(size_t k) { return 3 * (k + 1) + ck_criterion_scratch(k + 1); }

/// The known tokens are few: their outcomes are a small row of their own, compared by the kernel
/// for whole rows; the last outcome's gradient is spread over the other tokens as q has them.
CK_CLONES void ck_sparse_row(
    const uint32_t *ids, const float *log_p, size_t k, const float *ghost, float *q, size_t n,
    int64_t label, const ck_criterion_settings *settings, float *scratch,
    ck_criterion_losses *losses) {
    float *p = scratch, *u = p + k + 1, *kept = u + k + 1, *rest = kept + k + 1;
    int with_ce = label >= 0;
    float smoothing = settings->label_smoothing, weight = settings->cross_entropy_weight;
    float q_top = largest(q, n);
    double total = 0;
    losses->cross_entropy = 0;
    if (with_ce) {
        total = sum_of_exp(q, n, q_top, 1.0f);
        losses->cross_entropy = cross_entropy(q, n, (size_t)label, smoothing, q_top, total);
    }
    // Summed without the kept tokens: what is left of a difference would be rounding.
    for (size_t c = 0; c < k; c++) kept[c] = q[ids[c]];
    for (size_t c = 0; c < k; c++) q[ids[c]] = -INFINITY;
    float rest_top = largest(q, n);
    int has_rest = rest_top > -INFINITY;
    // With a ghost the two sides are tempered after they were made coarse.
    float rest_scale = ghost ? 1.0f : settings->q_scale;
    double rest_sum = has_rest ? sum_of_exp(q, n, rest_top, rest_scale) : 1.0;
    for (size_t c = 0; c < k; c++) {
        p[c] = log_p[c];
        u[c] = (kept[c] - q_top) * rest_scale;
    }
    // Both sides are tempered below. Where every token is known, there is no other outcome.
    p[k] = ghost && has_rest ? *ghost : CK_NO_LOG / settings->p_scale;
    u[k] = has_rest ? (rest_top - q_top) * rest_scale + (float)log(rest_sum)
                    : CK_NO_LOG / (ghost ? settings->q_scale : 1.0f);
    ck_criterion_settings small = *settings;
    if (!ghost) {
        small.q_scale = 1;
        small.divergence_weight *= settings->q_scale;
    }
    ck_criterion_losses outcome;
    ck_criterion_row(p, k + 1, u, k + 1, -1, &small, rest, &outcome);
    losses->divergence = outcome.divergence;
    float d_rest = (float)((double)u[k] / rest_sum);
    float ce_over = with_ce ? (float)(weight / total) : 0;
    float floor = with_ce ? weight * smoothing / (float)n : 0;
    float ce_rest = has_rest ? ck_exp(rest_top - q_top) * ce_over : 0;
    if (has_rest && rest_scale == 1.0f) {
        float both = d_rest + ce_rest;
        for (size_t i = 0; i < n; i++) q[i] = ck_exp(q[i] - rest_top) * both - floor;
    } else if (has_rest) {
        for (size_t i = 0; i < n; i++) {
            float shifted = q[i] - rest_top;
            q[i] = ck_exp(shifted * rest_scale) * d_rest + (ck_exp(shifted) * ce_rest - floor);
        }
    }
    for (size_t c = 0; c < k; c++) {
        q[ids[c]] = u[c] + (ck_exp(kept[c] - q_top) * ce_over - floor);
    }
    if (with_ce) q[label] -= weight * (1.0f - smoothing);
}
