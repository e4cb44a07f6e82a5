#define _GNU_SOURCE
#include "include/ck_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define MOST_KEPT 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *pages;
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

void *ck_map_pages(size_t bytes, size_t *size) {
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE) return NULL;
    size_t wanted = (bytes + 4095) / 4096 * 4096;
    size_t best = MOST_KEPT;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < kept_count; i++) {
        if (kept[i].size < wanted || kept[i].size - wanted > wanted / 4) continue;
        if (best == MOST_KEPT || kept[i].size < kept[best].size) best = i;
    }
    void *pages = NULL;
    if (best < MOST_KEPT) {
        pages = kept[best].pages;
        wanted = kept[best].size;
        kept[best] = kept[--kept_count];
        kept_bytes -= wanted;
    }
    pthread_mutex_unlock(&lock);
    *size = wanted;
    return pages ? pages : map_anew(wanted);
}

void ck_unmap_pages(void *pages, size_t size) {
    pthread_mutex_lock(&lock);
    int keeps = kept_count < MOST_KEPT && size <= kept_limit && kept_bytes <= kept_limit - size;
    if (keeps) {
        kept[kept_count].pages = pages;
        kept[kept_count++].size = size;
        kept_bytes += size;
    }
    pthread_mutex_unlock(&lock);
    if (!keeps) munmap(pages, size);
}

void ck_set_kept_memory(size_t bytes) {
    pthread_mutex_lock(&lock);
    kept_limit = bytes;
    pthread_mutex_unlock(&lock);
    ck_release_free_memory();
}

void ck_release_free_memory(void) {
    pthread_mutex_lock(&lock);
    while (kept_count) {
        kept_count--;
        munmap(kept[kept_count].pages, kept[kept_count].size);
    }
    kept_bytes = 0;
    pthread_mutex_unlock(&lock);
    ck_trim_allocator();
}

void ck_trim_allocator(void) { malloc_trim(0); }
