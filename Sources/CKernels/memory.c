#define _GNU_SOURCE
#include "include/ck_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
#define MOST_KEPT 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/// Stretches of pages that nobody uses, in the order of their addresses, none next to another.
static struct stretch {
    uint8_t *pages;
    size_t size;
} kept[MOST_KEPT];
static size_t kept_count, kept_bytes, kept_limit;

static void *map_anew(size_t size) {
    // A huge page must start at a multiple of its size, so what lies around such a start is given back.
    size_t whole = size + HUGE_PAGE;
    uint8_t *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return NULL;
    uint8_t *start = (uint8_t *)(((uintptr_t)map + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (start > map) munmap(map, (size_t)(start - map));
    size_t after = (size_t)(map + whole - (start + size));
    if (after) munmap(start + size, after);
    madvise(start, size, MADV_HUGEPAGE);
    return start;
}

static void remove_kept(size_t index) {
    kept_count--;
    memmove(kept + index, kept + index + 1, (kept_count - index) * sizeof *kept);
}

/// The shortest stretch that is long enough, cut to that length; NULL where there is none.
static uint8_t *take_kept(size_t size) {
    size_t best = MOST_KEPT;
    for (size_t i = 0; i < kept_count; i++) {
        if (kept[i].size >= size && (best == MOST_KEPT || kept[i].size < kept[best].size)) best = i;
    }
    if (best == MOST_KEPT) return NULL;
    uint8_t *pages = kept[best].pages;
    kept[best].pages += size;
    kept[best].size -= size;
    kept_bytes -= size;
    if (!kept[best].size) remove_kept(best);
    return pages;
}

/// Joins a stretch with those on both sides of it. False where there is no room for it.
static int keep(uint8_t *pages, size_t size) {
    if (kept_bytes > kept_limit || size > kept_limit - kept_bytes) return 0;
    size_t low = 0, high = kept_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kept[middle].pages < pages) low = middle + 1;
        else high = middle;
    }
    int joins_before = low > 0 && kept[low - 1].pages + kept[low - 1].size == pages;
    int joins_after = low < kept_count && pages + size == kept[low].pages;
    if (joins_before) {
        kept[low - 1].size += size;
        if (joins_after) {
            kept[low - 1].size += kept[low].size;
            remove_kept(low);
        }
    } else if (joins_after) {
        kept[low].pages = pages;
        kept[low].size += size;
    } else {
        if (kept_count == MOST_KEPT) return 0;
        memmove(kept + low + 1, kept + low, (kept_count - low) * sizeof *kept);
        kept[low] = (struct stretch){pages, size};
        kept_count++;
    }
    kept_bytes += size;
    return 1;
}

void *ck_map_pages(size_t bytes, size_t *size) {
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE) return NULL;
    size_t wanted = (bytes + PAGE - 1) / PAGE * PAGE;
    pthread_mutex_lock(&lock);
    void *pages = take_kept(wanted);
    pthread_mutex_unlock(&lock);
    *size = wanted;
    return pages ? pages : map_anew(wanted);
}

void ck_unmap_pages(void *pages, size_t size) {
    pthread_mutex_lock(&lock);
    int is_kept = keep(pages, size);
    pthread_mutex_unlock(&lock);
    if (!is_kept) munmap(pages, size);
}

void ck_set_kept_memory(size_t bytes) {
    pthread_mutex_lock(&lock);
    kept_limit = bytes;
    pthread_mutex_unlock(&lock);
    ck_release_free_memory();
}

void ck_release_free_memory(void) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < kept_count; i++) munmap(kept[i].pages, kept[i].size);
    kept_count = 0;
    kept_bytes = 0;
    pthread_mutex_unlock(&lock);
    ck_trim_allocator();
}

void ck_trim_allocator(void) { malloc_trim(0); }
