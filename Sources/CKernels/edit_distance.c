#include "common.h"
#include "include/ck_edit_distance.h"

enum { word = 64, block = 64 };

CK_INLINE void set_masks(uint64_t *masks, const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length; i++) masks[text[i]] |= 1ull << i;
}

CK_INLINE void clear_masks(uint64_t *masks, const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length; i++) masks[text[i]] = 0;
}

// One column of the table a byte of b, as bits: where it grows by one downwards, and where it shrinks.
// `masks` says where the other text, of 1 to 64 bytes, has each byte.
CK_INLINE uint32_t bit_parallel(
    const uint64_t *masks, size_t length, const uint8_t *b, size_t n
) {
    uint64_t up = ~0ull, down = 0;
    uint32_t distance = (uint32_t)length;
    for (size_t j = 0; j < n; j++) {
        uint64_t equal = masks[b[j]];
        uint64_t diagonal = (((equal & up) + up) ^ up) | equal | down;
        uint64_t right_up = down | ~(diagonal | up), right_down = up & diagonal;
        distance += (right_up >> (length - 1)) & 1;
        distance -= (right_down >> (length - 1)) & 1;
        right_up = right_up << 1 | 1;
        right_down <<= 1;
        up = right_down | ~(diagonal | right_up);
        down = right_up & diagonal;
    }
    return distance;
}

// Row by row, for two long texts.
CK_INLINE uint32_t by_table(
    const uint8_t *a, size_t m, const uint8_t *b, size_t n, uint32_t *row
) {
    for (size_t j = 0; j <= n; j++) row[j] = (uint32_t)j;
    for (size_t i = 0; i < m; i++) {
        uint32_t corner = row[0];
        row[0] = (uint32_t)i + 1;
        for (size_t j = 0; j < n; j++) {
            uint32_t least = corner + (a[i] != b[j]);
            corner = row[j + 1];
            if (corner + 1 < least) least = corner + 1;
            if (row[j] + 1 < least) least = row[j] + 1;
            row[j + 1] = least;
        }
    }
    return row[n];
}

// `masks` are those of a where it has 64 bytes or less, else zeros.
CK_INLINE uint32_t distance_of(
    const uint8_t *a, size_t m, const uint8_t *b, size_t n, uint64_t *masks, uint32_t *row
) {
    if (m == 0 || n == 0) return (uint32_t)(m + n);
    if (m <= word) return bit_parallel(masks, m, b, n);
    if (n > word) return by_table(a, m, b, n, row);
    set_masks(masks, b, n);
    uint32_t distance = bit_parallel(masks, n, a, m);
    clear_masks(masks, b, n);
    return distance;
}

CK_CLONES
void ck_edit_distances(
    const uint8_t *text, size_t length, const uint8_t *bytes, const uint32_t *offsets,
    size_t count, uint64_t *masks, uint32_t *row, uint32_t *out
) {
    if (length <= word) set_masks(masks, text, length);
    for (size_t i = 0; i < count; i++) {
        out[i] = distance_of(
            text, length, bytes + offsets[i], offsets[i + 1] - offsets[i], masks, row);
    }
    if (length <= word) clear_masks(masks, text, length);
}

uint64_t ck_text_signature(const uint8_t *text, size_t length) {
    uint8_t seen[256] = {0};
    uint64_t bits = 0;
    // The letters of one case have a bit each. A count that goes round only makes the bound less sharp.
    for (size_t i = 0; i < length; i++) bits |= 1ull << ((text[i] + 29u * seen[text[i]]++) & 63);
    return bits;
}

// Let a and b be texts, and A and B their sets of (byte, how many came before). The distance is at least
// |A - B| and at least |B - A|, and |A| - |B| is the difference of lengths d. Bits of the signatures stand
// for no more than the members do, so with a, b the bits that the other lacks, |A - B| >= max(a, b - d) and
// |B - A| >= max(b, a + d). bounds = max of these, less the |d| that all texts of this length have.
CK_INLINE void set_bounds(
    const uint64_t *restrict signatures, const uint8_t *restrict sizes, size_t count,
    uint64_t signature, int32_t d, uint8_t *restrict bounds
) {
    int32_t own = __builtin_popcountll(signature) + (d < 0 ? d : 0), less = d > 0 ? d : 0;
    for (size_t i = 0; i < count; i++) {
        int32_t common = (int32_t)__builtin_popcountll(signature & signatures[i]);
        int32_t other = sizes[i] - less;
        bounds[i] = (uint8_t)((own > other ? own : other) - common);
    }
}

typedef uint8_t bytes64 __attribute__((vector_size(block), aligned(1)));
typedef _Bool bits64 __attribute__((ext_vector_type(block)));

// Bit i is set where bounds[i] == wanted, of 64.
CK_INLINE uint64_t places_of(uint8_t wanted, const uint8_t *bounds) {
    bits64 equal = __builtin_convertvector(*(const bytes64 *)bounds == wanted, bits64);
    uint64_t places;
    memcpy(&places, &equal, sizeof places);
    return places;
}

CK_CLONES
uint32_t ck_nearest_text(
    const ck_text_index *x, const uint8_t *text, size_t length, uint8_t *bounds, uint64_t *masks,
    uint32_t *row
) {
    uint64_t signature = ck_text_signature(text, length);
    if (length <= word) set_masks(masks, text, length);
    size_t limit = length > x->longest ? length : x->longest;
    uint32_t best = UINT32_MAX, nearest = UINT32_MAX;
    // Round k adds the texts that are k bytes shorter or longer and compares those whose bound is k. An
    // equal distance counts for lower ids alone, so the order within a round is of no matter.
    for (size_t k = 0; k <= limit && k <= best; k++) {
        size_t low = length > k ? length - k : 0;
        size_t high = length + k < x->longest ? length + k : x->longest;
        if (k <= length && low <= x->longest) {
            size_t at = x->first[low];
            set_bounds(
                x->signatures + at, x->sizes + at, x->first[low + 1] - at, signature, -(int32_t)k,
                bounds + at);
        }
        if (k > 0 && length + k <= x->longest) {
            size_t at = x->first[high];
            set_bounds(
                x->signatures + at, x->sizes + at, x->first[high + 1] - at, signature, (int32_t)k,
                bounds + at);
        }
        for (size_t n = low; n <= high; n++) {
            size_t rest = k - (n > length ? n - length : length - n), end = x->first[n + 1];
            if (rest > 64) continue;  // more than a signature can tell
            for (size_t from = x->first[n]; from < end; from += block) {
                uint64_t places = places_of((uint8_t)rest, bounds + from);
                if (end - from < block) places &= (1ull << (end - from)) - 1;
                for (; places; places &= places - 1) {
                    size_t i = from + (size_t)__builtin_ctzll(places);
                    if (k == best && x->ids[i] > nearest) continue;
                    uint32_t distance = distance_of(
                        text, length, x->bytes + x->offsets[i], n, masks, row);
                    if (distance < best || (distance == best && x->ids[i] < nearest)) {
                        best = distance;
                        nearest = x->ids[i];
                    }
                }
            }
        }
    }
    if (length <= word) clear_masks(masks, text, length);
    return nearest;
}
