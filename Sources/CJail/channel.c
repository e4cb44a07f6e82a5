// Messages with descriptors, and starting the keeper.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "include/cj_jail.h"

int cj_pair(int out[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) == 0 ? 0 : errno;
}

int cj_pipe(int out[2]) { return pipe2(out, O_CLOEXEC) == 0 ? 0 : errno; }

int cj_spawn(const char *executable, const char *argument, int socket, int keeps_errors, pid_t *pid) {
    // The reader has no use for the parent's environment, and none for threads.
    char libraries[4096] = "LD_LIBRARY_PATH=";
    const char *found = getenv("LD_LIBRARY_PATH");
    if (found) snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", found);
    char *const environment[] = {
        "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MALLOC_ARENA_MAX=1", "SWIFT_BACKTRACE=enable=no",
        found ? libraries : NULL, NULL,
    };
    char *const arguments[] = {"retort", (char *)argument, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code) return code;
    if ((code = posix_spawnattr_init(&attributes))) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    // Moved first, in case it lies below 3.
    if (!code) code = posix_spawn_file_actions_adddup2(&actions, socket, 3);
    for (int i = 0; i < (keeps_errors ? 2 : 3) && !code; i++)
        code = posix_spawn_file_actions_addopen(&actions, i, "/dev/null", i ? O_WRONLY : O_RDONLY, 0);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    if (!code) code = posix_spawn_file_actions_addclosefrom_np(&actions, 4);
#endif
#endif
    sigset_t held, all;
    sigemptyset(&held);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    // Ctrl-C is for the parent, which ends in its own way; the keeper lets these in once it ignores them.
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    if (!code) code = posix_spawnattr_setsigmask(&attributes, &held);
    if (!code) code = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!code)
        code = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!code) code = posix_spawn(pid, executable, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

void cj_end(pid_t pid) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

int cj_send_request(int socket, const struct cj_request *request, int file, int reply) {
    struct iovec part = {(void *)request, sizeof *request};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const int descriptors[2] = {file, reply};
    memcpy(CMSG_DATA(header), descriptors, sizeof descriptors);
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == sizeof *request ? 0 : sent < 0 ? errno : EIO;
}

int cj_receive_request(int socket, struct cj_request *request, int *file, int *reply) {
    struct iovec part = {request, sizeof *request};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof control.bytes,
    };
    ssize_t got;
    do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got != sizeof *request || request->magic != CJ_MAGIC || !header ||
        header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        return EPIPE;
    int descriptors[2];
    memcpy(descriptors, CMSG_DATA(header), sizeof descriptors);
    *file = descriptors[0];
    *reply = descriptors[1];
    return 0;
}

int cj_send_report(int socket, struct cj_report report) {
    ssize_t sent;
    do sent = send(socket, &report, sizeof report, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == sizeof report ? 0 : sent < 0 ? errno : EIO;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

ssize_t cj_read_within(int descriptor, void *bytes, size_t size, double seconds, double *used) {
    for (;;) {
        struct pollfd wait = {descriptor, POLLIN, 0};
        double start = now();
        int ready = poll(&wait, 1, *used < seconds ? 1000 : 0);
        double passed = now() - start;
        // A process that was stopped (Ctrl-Z) for an hour did not wait for an hour.
        *used += passed < 2 ? passed : 2;
        if (ready > 0) {
            ssize_t got = read(descriptor, bytes, size);
            if (got >= 0 || errno != EINTR) return got;
        } else if (ready < 0 && errno != EINTR) {
            return -1;
        }
        if (*used >= seconds) return -2;
    }
}

int cj_write_all(int descriptor, const void *bytes, size_t size) {
    const char *rest = bytes;
    while (size) {
        ssize_t written = write(descriptor, rest, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        rest += written;
        size -= (size_t)written;
    }
    return 0;
}
