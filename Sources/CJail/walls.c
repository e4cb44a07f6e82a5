// Landlock, seccomp and limits, by system call numbers: no library is needed, and headers may be older.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cj_jail.h"

#if defined(__x86_64__)
#define CJ_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CJ_ARCH AUDIT_ARCH_AARCH64
#endif

// The same numbers on every architecture.
enum { LANDLOCK_CREATE = 444, LANDLOCK_RESTRICT = 446 };
struct landlock_rules {
    uint64_t files, network, scopes;
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CJ_SANITIZED 1
#endif
#endif

static int limit(int what, rlim_t most) {
    const struct rlimit value = {most, most};
    return setrlimit(what, &value);
}

/// Every access that this kernel's Landlock knows is handled, and no rule allows any.
static int landlock(void) {
    long version = syscall(LANDLOCK_CREATE, NULL, 0, 1u);
    if (version < 1) return 0;
    struct landlock_rules rules = {(1u << 13) - 1, 0, 0};
    size_t size = sizeof rules.files;
    if (version >= 2) rules.files |= 1u << 13; // move between directories
    if (version >= 3) rules.files |= 1u << 14; // truncate
    if (version >= 4) {
        rules.network = 3; // bind and connect
        size += sizeof rules.network;
    }
    if (version >= 5) rules.files |= 1u << 15; // ioctl on devices
    if (version >= 6) {
        rules.scopes = 3; // abstract sockets and signals
        size += sizeof rules.scopes;
    }
    long set = syscall(LANDLOCK_CREATE, &rules, size, 0u);
    if (set < 0) return -1;
    long result = syscall(LANDLOCK_RESTRICT, (int)set, 0u);
    close((int)set);
    return result == 0 ? CJ_LANDLOCK : -1;
}

static int has_filters(void) {
#ifdef CJ_ARCH
    uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0u, &action) == 0;
#else
    return 0;
#endif
}

int cj_wall_keeper(void) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
#ifndef CJ_SANITIZED
    if (limit(RLIMIT_AS, (rlim_t)2 << 30) != 0) return -1;
#endif
    if (limit(RLIMIT_NOFILE, 16) != 0 || limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_FSIZE, 0) != 0)
        return -1;
    int locked = landlock();
    return locked < 0 ? -1 : locked | (has_filters() ? CJ_SECCOMP : 0);
}

int cj_wall_reader(int file, int reply, unsigned seconds) {
    limit(RLIMIT_NPROC, 0);
    if (limit(RLIMIT_CPU, seconds) != 0) return errno;
#ifdef CJ_ARCH
    if (!has_filters()) return 0;
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GIVE(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), GIVE(SECCOMP_RET_ALLOW)
#define REFUSE SECCOMP_RET_ERRNO | EPERM
    // Where the first argument (a descriptor) is that one; `args` are little-endian.
#define ALLOW_ON(name, descriptor)                                                    \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4), LOAD(args[0]),             \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(descriptor), 0, 1),            \
        GIVE(SECCOMP_RET_ALLOW), GIVE(REFUSE)
    // Where the third argument (a protection) does not make memory executable.
#define ALLOW_UNEXECUTABLE(name)                                                      \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4), LOAD(args[2]),             \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),                        \
        GIVE(SECCOMP_RET_ALLOW), GIVE(REFUSE)
    struct sock_filter steps[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CJ_ARCH, 1, 0),
        GIVE(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        ALLOW_ON(pread64, file),
        ALLOW_ON(write, reply),
        ALLOW_UNEXECUTABLE(mmap),
        ALLOW_UNEXECUTABLE(mprotect),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(brk),
        ALLOW(madvise),
        ALLOW(futex),
        ALLOW(clock_gettime),
        ALLOW(getrandom),
        ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask),
        ALLOW(exit),
        ALLOW(exit_group),
        // Others of the 32-bit and x32 calls have other numbers, so they end here as well.
        GIVE(REFUSE),
    };
    const struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) return errno;
#else
    (void)file;
    (void)reply;
#endif
    return 0;
}

uint32_t cj_probe(void) {
    uint32_t worked = 0;
    if (open("/etc/passwd", O_RDONLY) >= 0) worked |= 1;
    if (open("/proc/self/exe", O_RDONLY) >= 0) worked |= 2;
    if (open("/", O_RDONLY | O_DIRECTORY) >= 0) worked |= 4;
    if (open("/dev/shm/retort-probe", O_WRONLY | O_CREAT | O_EXCL, 0600) >= 0) worked |= 8;
    if (mkdir("/tmp/retort-probe", 0700) == 0) worked |= 16;
    static char *const nothing[] = {NULL};
    pid_t parent = getppid();
    // Landlock alone lets these pass: a reader's filter does not.
    struct stat status;
    if (stat("/etc/passwd", &status) == 0) worked |= 256;
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0) worked |= 512;
    if (parent > 0 && kill(parent, 0) == 0) worked |= 1024;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) worked |= 2048;
    // Plain clone: what fork becomes.
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    if (child > 0) {
        worked |= 4096;
        waitpid((pid_t)child, NULL, 0);
    }
    execve("/proc/self/exe", nothing, nothing);
    return worked;
}
