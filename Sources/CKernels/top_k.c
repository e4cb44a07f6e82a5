#include "common.h"
#include "include/ck_elementwise.h"

// A value and its index as one number that sorts like (value ascending, index descending):
// so the smallest key is the entry to drop first.
CK_INLINE uint64_t key_of(float value, uint32_t index) {
    union { float f; uint32_t u; } bits = {value};
    uint32_t ordered = bits.u & 0x80000000u ? ~bits.u : bits.u | 0x80000000u;
    return (uint64_t)ordered << 32 | (uint32_t)~index;
}

CK_INLINE float value_of(uint64_t key) {
    uint32_t ordered = (uint32_t)(key >> 32);
    union { uint32_t u; float f; } bits = {
        ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered};
    return bits.f;
}

static void sift_down(uint64_t *heap, size_t count, size_t at) {
    uint64_t moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= moving) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

void ck_top_k(const float *x, size_t n, size_t k, uint32_t *ids, float *values, uint64_t *heap) {
    if (k > n) k = n;
    if (k == 0) return;
    for (size_t i = 0; i < k; i++) heap[i] = key_of(x[i], (uint32_t)i);
    for (size_t i = k / 2; i-- > 0;) sift_down(heap, k, i);
    float smallest = value_of(heap[0]);
    for (size_t i = k; i < n; i++) {
        // Equal values keep the earlier index, which is already in the heap.
        if (x[i] <= smallest) continue;
        heap[0] = key_of(x[i], (uint32_t)i);
        sift_down(heap, k, 0);
        smallest = value_of(heap[0]);
    }
    for (size_t left = k; left > 0; left--) {
        ids[left - 1] = ~(uint32_t)heap[0];
        values[left - 1] = value_of(heap[0]);
        heap[0] = heap[left - 1];
        if (left > 1) sift_down(heap, left - 1, 0);
    }
}
