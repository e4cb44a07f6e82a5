#include "include/ck_threads.h"

static _Thread_local int is_alone = 0;

int ck_is_alone(void) { return is_alone; }

void ck_set_alone(int alone) { is_alone = alone; }
