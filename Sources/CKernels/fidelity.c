#include "include/ck_fidelity.h"
#include "criteria.h"

CK_CLONES double ck_log_partition(const float *x, size_t n, float scale) {
    float top = largest(x, n);
    return (double)top * scale + log(sum_of_exp(x, n, top, scale));
}

CK_CLONES double ck_softmax_of(const float *x, float *p, size_t n, float scale) {
    float top = largest(x, n);
    double total = 0;
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
#pragma clang fp reassociate(on)
        size_t stop = n - at < CK_ROW_BLOCK ? n : at + CK_ROW_BLOCK;
        float s = 0;
        for (size_t i = at; i < stop; i++) {
            p[i] = ck_exp((x[i] - top) * scale);
            s += p[i];
        }
        total += s;
    }
    float over = (float)(1.0 / total);
    for (size_t i = 0; i < n; i++) p[i] *= over;
    return (double)top * scale + log(total);
}

/// e^u - 1 - u for |u| < 1/2, where the exponential would lose it.
CK_INLINE float second_order(float u) {
    float series = 1.0f / 40320.0f;
    series = series * u + 1.0f / 5040.0f;
    series = series * u + 1.0f / 720.0f;
    series = series * u + 1.0f / 120.0f;
    series = series * u + 1.0f / 24.0f;
    series = series * u + 1.0f / 6.0f;
    series = series * u + 0.5f;
    return series * u * u;
}

CK_CLONES void ck_distances_row(
    const float *z, double log_z, const float *y, double log_y, float scale, const float *p,
    float *d, size_t n, ck_distances *out) {
    // The two log-partitions are near each other and far from 0: their difference is what counts.
    float shift = (float)(log_y - log_z), whole = (float)log_y;
    ck_distances sums = {0, 0, 0};
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
#pragma clang fp reassociate(on)
        size_t stop = n - at < CK_ROW_BLOCK ? n : at + CK_ROW_BLOCK;
        float kl = 0, squares = 0, absolute = 0;
        for (size_t i = at; i < stop; i++) {
            float u = (y[i] - z[i]) * scale - shift;
            float far = ck_exp(y[i] * scale - whole) - p[i];
            int is_near = u < 0.5f && u > -0.5f;
            // The series of any other u might overflow, and its product with 0 be no number.
            float curve = second_order(is_near ? u : 0.0f);
            float gap = is_near ? p[i] * (curve + u) : far;
            kl += is_near ? p[i] * curve : far - p[i] * u;
            squares += gap * gap;
            absolute += gap < 0 ? -gap : gap;
            d[i] = gap;
        }
        sums.kl += kl;
        sums.squares += squares;
        sums.absolute += absolute;
    }
    *out = sums;
}

CK_CLONES void ck_tail_row(
    const float *z, double log_z, float scale, const float *p, const float *s, const float *r,
    size_t n, ck_tail_sums *out) {
    float whole = (float)log_z;
    ck_tail_sums sums = {0};
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
#pragma clang fp reassociate(on)
        size_t stop = n - at < CK_ROW_BLOCK ? n : at + CK_ROW_BLOCK;
        float p_sum = 0, r_sum = 0, pp = 0, rr = 0, gap = 0, gap_r = 0, p_log_p = 0;
        for (size_t i = at; i < stop; i++) {
            float difference = s[i] - p[i];
            p_sum += p[i];
            r_sum += r[i];
            pp += p[i] * p[i];
            rr += r[i] * r[i];
            gap += difference * difference;
            gap_r += difference * r[i];
            p_log_p += p[i] * (z[i] * scale - whole);
        }
        sums.p += p_sum;
        sums.r += r_sum;
        sums.pp += pp;
        sums.rr += rr;
        sums.gap += gap;
        sums.gap_r += gap_r;
        sums.p_log_p += p_log_p;
    }
    *out = sums;
}

CK_CLONES void ck_add_column_sums(
    const float *x, size_t rows, size_t stride, double *total, size_t n) {
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
        size_t count = n - at < CK_ROW_BLOCK ? n - at : CK_ROW_BLOCK;
        double sums[CK_ROW_BLOCK];
        for (size_t i = 0; i < count; i++) sums[i] = 0;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < count; i++) sums[i] += x[r * stride + at + i];
        for (size_t i = 0; i < count; i++) total[at + i] += sums[i];
    }
}
