#include "criteria.h"

CK_INLINE float row_of_exp(float *x, size_t n, float top, float scale) {
#pragma clang fp reassociate(on)
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        float e = ck_exp((x[i] - top) * scale);
        x[i] = e;
        s += e;
    }
    return s;
}

CK_CLONES void ck_softmax_rows(float *x, size_t rows, size_t n, size_t stride, float scale) {
    if (n == 0) return;
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * stride;
        float top = row[0];
        for (size_t i = 1; i < n; i++) top = row[i] > top ? row[i] : top;
        float over = 1.0f / row_of_exp(row, n, top, scale);
        for (size_t i = 0; i < n; i++) row[i] *= over;
    }
}

CK_INLINE float row_of_products(const float *p, const float *d, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
    float s = 0;
    for (size_t i = 0; i < n; i++) s += p[i] * d[i];
    return s;
}

CK_CLONES void ck_softmax_rows_backward(
    const float *p, float *d, size_t rows, size_t n, size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        const float *pr = p + r * stride;
        float *dr = d + r * stride;
        float mean = row_of_products(pr, dr, n);
        for (size_t i = 0; i < n; i++) dr[i] = pr[i] * (dr[i] - mean);
    }
}

CK_INLINE void block_of_moments(const float *x, size_t n, double totals[2]) {
#pragma clang fp reassociate(on) contract(fast)
    float sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    totals[0] += sum;
    totals[1] += squares;
}

CK_CLONES void ck_moments(const float *x, size_t n, double totals[2]) {
    for (size_t at = 0; at < n; at += CK_ROW_BLOCK) {
        size_t count = n - at < CK_ROW_BLOCK ? n - at : CK_ROW_BLOCK;
        block_of_moments(x + at, count, totals);
    }
}
