#pragma once
#include <stddef.h>

/// Gives memory that was freed, and that the allocator keeps for later, back to the system.
void ck_release_free_memory(void);

/// Memory in pages of its own, huge ones where the system has them, zeroed; NULL when there is none.
void *ck_map_pages(size_t bytes);

/// Gives back what `ck_map_pages` made of as many bytes.
void ck_unmap_pages(void *pages, size_t bytes);
