// The trait MPI defines it; without, this file is empty and needs no MPI.
#ifdef RETORT_MPI
#define _GNU_SOURCE
#include "cmpi.h"

#include <sched.h>
#include <stdlib.h>

// Debian's alternatives put it below the compiler's own directory; elsewhere CPATH names where it lies.
#if __has_include(<mpi/mpi.h>)
#include <mpi/mpi.h>
#else
#include <mpi.h>
#endif

static int rank = 0, count = 1, local_count = 1;
// Below 0: not known.
static double processors = -1;

// Each processor is divided among the processes that may run on it.
static void measure_processors(MPI_Comm local) {
    // More than Linux knows of; a mask smaller than the kernel's is refused.
    enum { MOST = 8192 };
    static cpu_set_t mask[MOST / CPU_SETSIZE];
    static int users[MOST];
    CPU_ZERO_S(sizeof mask, mask);
    int is_known = sched_getaffinity(0, sizeof mask, mask) == 0;
    for (int i = 0; i < MOST; i++) users[i] = is_known && CPU_ISSET_S(i, sizeof mask, mask);
    MPI_Allreduce(MPI_IN_PLACE, users, MOST, MPI_INT, MPI_SUM, local);
    if (!is_known) return;
    processors = 0;
    for (int i = 0; i < MOST; i++)
        if (CPU_ISSET_S(i, sizeof mask, mask)) processors += 1.0 / users[i];
}

int cmpi_start(void) {
    int provided = MPI_THREAD_SINGLE;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (code != MPI_SUCCESS) return code;
    if (provided < MPI_THREAD_SERIALIZED) return -1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    MPI_Comm local;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local);
    MPI_Comm_size(local, &local_count);
    measure_processors(local);
    MPI_Comm_free(&local);
    return 0;
}

int cmpi_rank(void) { return rank; }
int cmpi_count(void) { return count; }
int cmpi_local_count(void) { return local_count; }
double cmpi_processors(void) { return processors; }

void cmpi_sum(double *values, int n) {
    MPI_Allreduce(MPI_IN_PLACE, values, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

void cmpi_gather_sizes(int64_t own, int64_t *all) {
    MPI_Allgather(&own, 1, MPI_INT64_T, all, 1, MPI_INT64_T, MPI_COMM_WORLD);
}

void cmpi_gather(const uint8_t *own, int size, uint8_t *all, const int *sizes, const int *offsets) {
    MPI_Allgatherv(own, size, MPI_UINT8_T, all, sizes, offsets, MPI_UINT8_T, MPI_COMM_WORLD);
}

void *cmpi_begin_sum(float *values, int n) {
    MPI_Request *request = malloc(sizeof *request);
    if (!request) cmpi_abort(1);
    MPI_Iallreduce(MPI_IN_PLACE, values, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, request);
    return request;
}

int cmpi_test_sum(void *sum) {
    MPI_Request *request = sum;
    int done = 0;
    MPI_Test(request, &done, MPI_STATUS_IGNORE);
    if (done) free(request);
    return done;
}

void cmpi_abort(int code) {
    MPI_Abort(MPI_COMM_WORLD, code);
    _Exit(code);
}

void cmpi_finish(void) { MPI_Finalize(); }
#endif
