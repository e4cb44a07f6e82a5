/// The few calls of MPI that training needs. MPI's handles are macros and differ from one implementation to
/// another: none of them is seen here, so Swift needs no header of MPI's.
///
/// All of it is there only when the package is built with the trait MPI. MPI ends the job on errors of its own
/// (MPI_ERRORS_ARE_FATAL), so calls but the first say nothing of them. Calls may come from several threads,
/// but never two at a time.
#pragma once
#include <stdint.h>

/// Starts MPI. 0; -1 where this build of MPI lets one thread alone call it; else MPI's error code.
int cmpi_start(void);
/// This process's number, and how many there are.
int cmpi_rank(void);
int cmpi_count(void);
/// Processes on this machine, this one among them.
int cmpi_local_count(void);
/// Processors that this process may run on, each divided by the processes of this machine that may run there;
/// below 0 where that is not known.
double cmpi_processors(void);

/// values (n) are replaced by their sums over all processes.
void cmpi_sum(double *values, int n);
/// Each process's number, in order: all (count).
void cmpi_gather_sizes(int64_t own, int64_t *all);
/// Each process's bytes end to end: `sizes` (count) and `offsets` (count) say how many and where.
void cmpi_gather(const uint8_t *own, int size, uint8_t *all, const int *sizes, const int *offsets);

/// Begins to replace values (n) by their sums over all processes; nobody may touch them until it is done. All
/// processes begin the same sums in the same order.
void *cmpi_begin_sum(float *values, int n);
/// Works on it; whether it is done. It is not to be used any more when it is.
int cmpi_test_sum(void *sum);

/// Ends all processes of the job, this one with `code`.
void cmpi_abort(int code) __attribute__((noreturn));
/// Waits for all processes, and ends MPI.
void cmpi_finish(void);
