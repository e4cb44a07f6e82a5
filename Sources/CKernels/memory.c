#define _GNU_SOURCE
#include "include/ck_memory.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void ck_release_free_memory(void) { malloc_trim(0); }

static size_t rounded(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

void *ck_map_pages(size_t bytes) {
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE) return NULL;
    // A huge page must start at a multiple of its size, so what lies around such a start is given back.
    size_t size = rounded(bytes), whole = size + HUGE_PAGE;
    uint8_t *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return NULL;
    uint8_t *start = (uint8_t *)(((uintptr_t)map + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (start > map) munmap(map, (size_t)(start - map));
    size_t after = (size_t)(map + whole - (start + size));
    if (after) munmap(start + size, after);
    madvise(start, size, MADV_HUGEPAGE);
    return start;
}

void ck_unmap_pages(void *pages, size_t bytes) { munmap(pages, rounded(bytes)); }
