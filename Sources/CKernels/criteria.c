#include "criteria.h"

CK_CLONES float ck_largest(const float *x, size_t n, size_t *argmax) {
    float top = largest(x, n);
    if (argmax) *argmax = index_of(x, n, top);
    return top;
}

CK_CLONES double ck_cross_entropy_row(
    float *x, size_t n, size_t label, float weight, float smoothing, float *largest_probability,
    size_t *argmax) {
    float top = largest(x, n);
    double sum = sum_of_exp(x, n, top, 1.0f);
    if (argmax) *argmax = index_of(x, n, top);
    if (largest_probability) *largest_probability = (float)(1.0 / sum);
    double loss = cross_entropy(x, n, label, smoothing, top, sum);
    float over = (float)(weight / sum), floor = weight * smoothing / (float)n;
    for (size_t i = 0; i < n; i++) x[i] = ck_exp(x[i] - top) * over - floor;
    x[label] -= weight * (1.0f - smoothing);
    return loss;
}

/// sums += {sum e_p, sum e_q, sum e_p (a_p - a_q)} and the same with q first; a = shifted logits.
CK_INLINE void block_of_both(
    const float *p, const float *q, size_t n, const ck_row_state *state, float p_scale,
    float q_scale, double sums[4]) {
#pragma clang fp reassociate(on) contract(fast)
    float p_top = state->p_top, q_top = state->q_top;
    float sp = 0, sq = 0, forward = 0, reverse = 0;
    for (size_t i = 0; i < n; i++) {
        float ap = (p[i] - p_top) * p_scale, aq = (q[i] - q_top) * q_scale;
        float ep = ck_exp(ap), eq = ck_exp(aq), gap = ap - aq;
        sp += ep;
        sq += eq;
        forward += ep * gap;
        reverse -= eq * gap;
    }
    sums[0] += sp;
    sums[1] += sq;
    sums[2] += forward;
    sums[3] += reverse;
}

/// The divergence's term at one token, and its derivative by q up to a constant, for the three
/// that mix p and q.
CK_INLINE void mixed(int kind, float skew, float p, float q, float *term, float *slope) {
    if (kind == CK_JS) {
        float over = 2.0f / (p + q + 1e-37f);
        float log_q = ck_log(q * over);
        *term = 0.5f * (p * ck_log(p * over) + q * log_q);
        *slope = 0.5f * log_q;
    } else if (kind == CK_SKEWED_FORWARD_KL) {
        float ratio = p / (skew * p + (1.0f - skew) * q + 1e-37f);
        *term = p * ck_log(ratio);
        *slope = -(1.0f - skew) * ratio;
    } else {
        float ratio = q / ((1.0f - skew) * p + skew * q + 1e-37f);
        float log_ratio = ck_log(ratio);
        *term = q * log_ratio;
        *slope = log_ratio - skew * ratio;
    }
}

CK_INLINE void block_of_mixed(
    int kind, float skew, const float *p, const float *q, size_t n, const ck_row_state *state,
    float p_scale, float q_scale, double sums[2]) {
#pragma clang fp reassociate(on) contract(fast)
    ck_row_state s = *state;
    float loss = 0, mean = 0;
    for (size_t i = 0; i < n; i++) {
        float pi = ck_exp((p[i] - s.p_top) * p_scale) * s.p_over;
        float qi = ck_exp((q[i] - s.q_top) * q_scale) * s.q_over;
        float term, slope;
        mixed(kind, skew, pi, qi, &term, &slope);
        loss += term;
        mean += qi * slope;
    }
    sums[0] += loss;
    sums[1] += mean;
}

CK_INLINE double mixed_pass(
    int kind, const float *p, const float *q, size_t n, ck_row_state *state,
    const ck_criterion_settings *settings) {
    double sums[2] = {0, 0};
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
        size_t count = n - at < CK_ROW_BLOCK ? n - at : CK_ROW_BLOCK;
        block_of_mixed(
            kind, settings->skew, p + at, q + at, count, state, settings->p_scale,
            settings->q_scale, sums);
    }
    state->mean = (float)sums[1];
    return sums[0];
}

/// q (n) = weight * (d divergence / d logits) + (softmax of q at scale 1) * ce_over.
CK_INLINE void mixed_gradient(
    int kind, int with_ce, const float *p, float *q, size_t n, const ck_row_state *state,
    const ck_criterion_settings *settings) {
    ck_row_state s = *state;
    float p_scale = settings->p_scale, q_scale = settings->q_scale, skew = settings->skew;
    float weight = settings->divergence_weight * q_scale;
    for (size_t i = 0; i < n; i++) {
        float shifted = q[i] - s.q_top;
        float pi = ck_exp((p[i] - s.p_top) * p_scale) * s.p_over;
        float qi = ck_exp(shifted * q_scale) * s.q_over;
        float term, slope;
        mixed(kind, skew, pi, qi, &term, &slope);
        float d = weight * qi * (slope - s.mean);
        q[i] = with_ce ? d + (ck_exp(shifted) * s.ce_over - s.ce_floor) : d;
    }
}

CK_INLINE void plain_gradient(
    int with_ce, const float *p, float *q, size_t n, const ck_row_state *state,
    const ck_criterion_settings *settings) {
    ck_row_state s = *state;
    float p_scale = settings->p_scale, q_scale = settings->q_scale;
    float weight = settings->divergence_weight * q_scale;
    float forward = s.forward * weight, reverse = s.reverse * weight;
    for (size_t i = 0; i < n; i++) {
        float shifted = q[i] - s.q_top;
        float ap = (p[i] - s.p_top) * p_scale, aq = shifted * q_scale;
        float pi = ck_exp(ap) * s.p_over, qi = ck_exp(aq) * s.q_over;
        float d = forward * (qi - pi) + reverse * qi * ((aq - ap) - s.mean);
        q[i] = with_ce ? d + (ck_exp(shifted) * s.ce_over - s.ce_floor) : d;
    }
}

CK_INLINE void gradient(
    const float *p, float *q, size_t n, int with_ce, const ck_row_state *state,
    const ck_criterion_settings *settings) {
    switch (settings->divergence) {
    case CK_JS:
        if (with_ce) mixed_gradient(CK_JS, 1, p, q, n, state, settings);
        else mixed_gradient(CK_JS, 0, p, q, n, state, settings);
        break;
    case CK_SKEWED_FORWARD_KL:
        if (with_ce) mixed_gradient(CK_SKEWED_FORWARD_KL, 1, p, q, n, state, settings);
        else mixed_gradient(CK_SKEWED_FORWARD_KL, 0, p, q, n, state, settings);
        break;
    case CK_SKEWED_REVERSE_KL:
        if (with_ce) mixed_gradient(CK_SKEWED_REVERSE_KL, 1, p, q, n, state, settings);
        else mixed_gradient(CK_SKEWED_REVERSE_KL, 0, p, q, n, state, settings);
        break;
    default:
        if (with_ce) plain_gradient(1, p, q, n, state, settings);
        else plain_gradient(0, p, q, n, state, settings);
    }
}

CK_INLINE float adaptive_pass(
    const float *p, const float *q, size_t n, const ck_row_state *state,
    const ck_criterion_settings *settings, float *scratch) {
    float *probabilities = scratch, *gap = scratch + n;
    ck_row_state s = *state;
    float p_scale = settings->p_scale, q_scale = settings->q_scale;
    for (size_t i = 0; i < n; i++) {
        float pi = ck_exp((p[i] - s.p_top) * p_scale) * s.p_over;
        float difference = pi - ck_exp((q[i] - s.q_top) * q_scale) * s.q_over;
        probabilities[i] = pi;
        gap[i] = difference < 0 ? -difference : difference;
    }
    return ck_adaptive_share(probabilities, gap, n, settings->tail_mass);
}

size_t ck_criterion_scratch(size_t n) { return 2 * n; }

CK_CLONES void ck_criterion_row(
    const float *p, size_t p_n, float *q, size_t n, int64_t label,
    const ck_criterion_settings *settings, float *scratch, ck_criterion_losses *losses) {
    losses->divergence = 0;
    losses->cross_entropy = 0;
    if (!p) {
        if (label < 0) {
            memset(q, 0, n * sizeof *q);
            return;
        }
        losses->cross_entropy = ck_cross_entropy_row(
            q, n, (size_t)label, settings->cross_entropy_weight, settings->label_smoothing, NULL,
            NULL);
        return;
    }
    ck_row_state state = {0};
    state.p_top = largest(p, p_n);
    state.q_top = largest(q, n);
    int with_ce = label >= 0;
    if (with_ce) {
        double sum = sum_of_exp(q, n, state.q_top, 1.0f);
        losses->cross_entropy = cross_entropy(
            q, n, (size_t)label, settings->label_smoothing, state.q_top, sum);
        state.ce_over = (float)(settings->cross_entropy_weight / sum);
        state.ce_floor =
            settings->cross_entropy_weight * settings->label_smoothing / (float)n;
    }
    double sums[4] = {0, 0, 0, 0};
    for (size_t at = 0; at < p_n; at += CK_ROW_BLOCK) {
        size_t count = p_n - at < CK_ROW_BLOCK ? p_n - at : CK_ROW_BLOCK;
        block_of_both(
            p + at, q + at, count, &state, settings->p_scale, settings->q_scale, sums);
    }
    state.p_over = (float)(1.0 / sums[0]);
    state.q_over = (float)(1.0 / sums[1]);
    // log p - log q = (a_p - a_q) - log(sum_p / sum_q): the large parts cancel in double.
    double log_ratio = log(sums[0] / sums[1]);
    double forward = sums[2] / sums[0] - log_ratio, reverse = sums[3] / sums[1] + log_ratio;
    state.mean = (float)(sums[3] / sums[1]);
    switch (settings->divergence) {
    case CK_FORWARD_KL:
        state.forward = 1;
        losses->divergence = forward;
        break;
    case CK_REVERSE_KL:
        state.reverse = 1;
        losses->divergence = reverse;
        break;
    case CK_ADAPTIVE_KL:
        state.forward = adaptive_pass(p, q, p_n, &state, settings, scratch);
        state.reverse = 1.0f - state.forward;
        losses->divergence = state.forward * forward + state.reverse * reverse;
        break;
    case CK_JS:
        losses->divergence = mixed_pass(CK_JS, p, q, p_n, &state, settings);
        break;
    case CK_SKEWED_FORWARD_KL:
        losses->divergence = mixed_pass(CK_SKEWED_FORWARD_KL, p, q, p_n, &state, settings);
        break;
    default:
        losses->divergence = mixed_pass(CK_SKEWED_REVERSE_KL, p, q, p_n, &state, settings);
    }
    gradient(p, q, p_n, with_ce, &state, settings);
    // Columns that the target does not have feel the cross-entropy alone.
    for (size_t i = p_n; i < n; i++) {
        q[i] = with_ce ? ck_exp(q[i] - state.q_top) * state.ce_over - state.ce_floor : 0.0f;
    }
    if (with_ce) q[label] -= settings->cross_entropy_weight * (1.0f - settings->label_smoothing);
}
