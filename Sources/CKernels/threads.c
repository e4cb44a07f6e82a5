#include "include/ck_threads.h"

#include <stdlib.h>

static _Thread_local int is_alone = 0;

int ck_is_alone(void) { return is_alone; }

void ck_set_alone(int alone) { is_alone = alone; }

#ifdef __ELF__
// Threads that wait for others of a loop spin, by libgomp's default for milliseconds, and where other programs
// run too they take the processor from the one that they wait for. At a thousand turns they sleep soon:
// on two processors that trains 1.1 times as fast alone, and 1.7 times beside two busy programs, at 0.4 of
// the processor time (docs/training.md).
//
// libgomp reads its variables as it is loaded, before any constructor or `main` of a program, but after what
// the program's own .preinit_array names.
static void spin_briefly(int count, char **arguments, char **environment) {
    (void)count, (void)arguments, (void)environment;
    if (!getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", "1000", 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(
    int, char **, char **) = spin_briefly;
#endif
