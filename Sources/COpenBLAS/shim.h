#pragma once
#include <cblas.h>

/// LAPACK's symmetric eigenvalues by divide and conquer, which OpenBLAS holds but its header leaves out.
void dsyevd_(
    const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
    const int *lwork, int *iwork, const int *liwork, int *info);
