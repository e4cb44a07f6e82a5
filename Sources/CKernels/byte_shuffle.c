#include "ck_byte_shuffle.h"

#include "common.h"

/// With the element's size known to the compiler, which then works on whole vectors.
#define SHUFFLES(SIZE)                                                                             \
    CK_INLINE void shuffle##SIZE(const uint8_t *restrict x, uint8_t *restrict out, size_t n) {     \
        for (size_t i = 0; i < n; i++)                                                             \
            for (size_t b = 0; b < SIZE; b++) out[b * n + i] = x[i * SIZE + b];                    \
    }                                                                                              \
    CK_INLINE void unshuffle##SIZE(const uint8_t *restrict x, uint8_t *restrict out, size_t n) {   \
        for (size_t i = 0; i < n; i++)                                                             \
            for (size_t b = 0; b < SIZE; b++) out[i * SIZE + b] = x[b * n + i];                    \
    }
SHUFFLES(2)
SHUFFLES(4)
SHUFFLES(8)

CK_CLONES void ck_byte_shuffle(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    switch (size) {
    case 2: shuffle2(x, out, n); break;
    case 4: shuffle4(x, out, n); break;
    case 8: shuffle8(x, out, n); break;
    default:
        for (size_t b = 0; b < size; b++)
            for (size_t i = 0; i < n; i++) out[b * n + i] = x[i * size + b];
    }
}

CK_CLONES void ck_byte_unshuffle(const uint8_t *x, uint8_t *out, size_t n, size_t size) {
    switch (size) {
    case 2: unshuffle2(x, out, n); break;
    case 4: unshuffle4(x, out, n); break;
    case 8: unshuffle8(x, out, n); break;
    default:
        for (size_t b = 0; b < size; b++)
            for (size_t i = 0; i < n; i++) out[i * size + b] = x[b * n + i];
    }
}
