#pragma once
#include <malloc.h>

/// Gives memory that was freed, and that the allocator keeps for later, back to the system.
static inline void ck_release_free_memory(void) { malloc_trim(0); }
