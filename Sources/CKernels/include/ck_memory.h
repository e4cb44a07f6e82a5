#pragma once
#include <stddef.h>

/// Memory in pages of its own, huge ones where the system has them; what is in it is anything.
///
/// - Parameter size: Set to the bytes that `ck_unmap_pages` wants; more than `bytes`, it may be.
/// - Returns: NULL when there is none.
void *ck_map_pages(size_t bytes, size_t *size);

/// Gives back what `ck_map_pages` made, or keeps it for those who ask next, in pieces or together with its
/// neighbours.
void ck_unmap_pages(void *pages, size_t size);

/// The most bytes that are kept unused, 0 at first: what passes through a layer is made anew for each group
/// of tokens, and what a training step keeps for its way back anew for each step; the system would clear and
/// enter every page of it again.
void ck_set_kept_memory(size_t bytes);

/// Gives memory that was freed, and that is kept for later here or by the allocator, back to the system.
void ck_release_free_memory(void);

/// Gives memory that the allocator keeps for later back to the system, but not what is kept here.
void ck_trim_allocator(void);
