// The keeper: one fork for each file, so that no file can meddle with the next one's listing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cj_jail.h"

enum { FILE_PLACE = 3, REPLY_PLACE = 4, LIFE_PLACE = 5 };

static void close_from(unsigned first) {
    // close_range, of Linux 5.9; before it, what a process usually has at most.
    if (syscall(436, first, ~0u, 0u) == 0) return;
    for (int i = (int)first; i < 4096; i++) close(i);
}

/// The reader: descriptors 3 to 5 are all it has.
_Noreturn static void read_file(struct cj_request request, int file, int reply, int life, pid_t keeper,
                                cj_answer answer) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != keeper) _exit(70);
    struct stat status;
    // In this order: `file`, `reply` and `life` were opened one after another, after the socket in 3.
    if (fstat(file, &status) != 0 || dup2(file, FILE_PLACE) < 0 || dup2(reply, REPLY_PLACE) < 0 ||
        dup2(life, LIFE_PLACE) < 0)
        _exit(70);
    close_from(LIFE_PLACE + 1);
    for (int i = 0; i < 3; i++) close(i);
    unsigned seconds = request.kind == CJ_LIST_TENSORS ? CJ_TENSOR_SECONDS : CJ_SECONDS;
    if (request.kind != CJ_PROBE_UNFILTERED && cj_wall_reader(FILE_PLACE, REPLY_PLACE, seconds) != 0)
        _exit(70);
    answer(request.kind, FILE_PLACE, REPLY_PLACE, status.st_size, request.limit);
    _exit(0);
}

/// Waits until the reader has ended, or has let go of its pipe, or the parent is gone.
static int wait_for(pid_t reader, int life, int socket) {
    struct pollfd watched[2] = {{life, POLLIN, 0}, {socket, 0, 0}};
    while (poll(watched, 2, -1) < 0 && errno == EINTR) {}
    // No harm where it has ended: what it ended with is settled by then.
    kill(reader, SIGKILL);
    int status = 0;
    while (waitpid(reader, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return status;
}

_Noreturn void cj_serve(int socket, cj_answer answer) {
    prctl(PR_SET_NAME, "retort-hdf5", 0, 0, 0); // It was started as "exe".
    // Ctrl-C goes to everyone at the terminal; the keeper ends with its parent, whose socket closes then.
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_from((unsigned)socket + 1);
    int walls = cj_wall_keeper();
    if (walls < 0 || cj_send_report(socket, (struct cj_report){CJ_MAGIC, walls}) != 0) _exit(70);
    pid_t keeper = getpid();
    for (;;) {
        struct cj_request request;
        int file, reply, life[2];
        if (cj_receive_request(socket, &request, &file, &reply) != 0) _exit(0);
        if (cj_pipe(life) != 0) _exit(70);
        pid_t reader = fork();
        if (reader == 0) read_file(request, file, reply, life[1], keeper, answer);
        close(file);
        close(reply);
        close(life[1]);
        if (reader < 0) _exit(70);
        int status = wait_for(reader, life[0], socket);
        close(life[0]);
        if (cj_send_report(socket, (struct cj_report){CJ_MAGIC, status}) != 0) _exit(0);
    }
}
