/// The walls around the process that reads strangers' file structure, and its socket.
///
/// A *keeper* process is started once. It never sees a file's bytes: for each file it forks a *reader*,
/// which can do nothing but read that file, take memory and write its answer.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What the parent sends with two descriptors: the file, and a pipe for the answer.
struct cj_request {
    uint32_t magic;
    uint32_t kind;
    int64_t limit;
};

/// What the keeper sends when it is ready, and after each file.
struct cj_report {
    uint32_t magic;
    /// Ready: the walls that this system has (`CJ_LANDLOCK`, `CJ_SECCOMP`). After a file: the reader's
    /// status as `waitpid` gives it.
    int32_t value;
};

#define CJ_MAGIC 0x4C4A4352u
#define CJ_LANDLOCK 1
#define CJ_SECCOMP 2

/// Kinds of requests: list a file of a cache; try what a reader must not, with and without system call
/// filter; list a file of plain arrays.
#define CJ_LIST 0u
#define CJ_PROBE 1u
#define CJ_PROBE_UNFILTERED 2u
#define CJ_LIST_TENSORS 3u

/// Processor seconds that a reader has for one file of a cache, and for one of plain arrays, which takes
/// milliseconds; damage can make HDF5 go round in circles.
#define CJ_SECONDS 60
#define CJ_TENSOR_SECONDS 5

/// A connected pair of sockets that keep messages apart, closed on exec. 0, or an errno.
int cj_pair(int out[2]);
/// A pipe, closed on exec. 0, or an errno.
int cj_pipe(int out[2]);

/// Starts `executable` with one argument and `socket` as descriptor 3, /dev/null as 0, 1 and 2, nothing
/// else open, and an environment of its own. 0, or an errno.
int cj_spawn(const char *executable, const char *argument, int socket, int keeps_errors, pid_t *pid);
/// Kills and reaps it.
void cj_end(pid_t pid);

/// Sends a request. 0, or an errno.
int cj_send_request(int socket, const struct cj_request *request, int file, int reply);
/// Receives a request, for a stand-in of the keeper. 0, or an errno.
int cj_receive_request(int socket, struct cj_request *request, int *file, int *reply);
int cj_send_report(int socket, struct cj_report report);

/// Waits at most `seconds` of this process's running time for bytes, and reads up to `size` of them.
/// The count, 0 at the end, -1 for an error, -2 when time is up; `*used` adds up over calls.
ssize_t cj_read_within(int descriptor, void *bytes, size_t size, double seconds, double *used);
/// Writes all. 0, or an errno.
int cj_write_all(int descriptor, const void *bytes, size_t size);

/// Writes the answer for one file to `reply`; runs in a reader, which ends afterwards.
typedef void (*cj_answer)(uint32_t kind, int file, int reply, int64_t file_bytes, int64_t limit);

/// The keeper's life: walls, then requests until the parent has gone.
_Noreturn void cj_serve(int socket, cj_answer answer);

/// Walls of the keeper, inherited by readers: no new privileges, limits, no file system, no network.
/// What is there of `CJ_LANDLOCK` and `CJ_SECCOMP`, or -1 where a wall that is there cannot be put up.
int cj_wall_keeper(void);
/// The reader's last wall: only the system calls that reading one file takes. 0, or an errno; where
/// the system has no filters, 0.
int cj_wall_reader(int file, int reply, unsigned seconds);
/// Tries what a reader must not be able to do; a bit for each that worked.
uint32_t cj_probe(void);
