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
    const ck_text_index *x, size_t from, size_t to, uint64_t signature, long longer, uint8_t *bounds
) {
    int32_t own = __builtin_popcountll(signature) + (longer < 0 ? (int32_t)longer : 0);
    int32_t less = longer > 0 ? (int32_t)longer : 0;
    for (size_t i = from; i < to; i++) {
        int32_t common = (int32_t)__builtin_popcountll(signature & x->signatures[i]);
        int32_t other = x->sizes[i] - less;
        bounds[i] = (uint8_t)((own > other ? own : other) - common);
    }
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
    // Round k adds the texts that are k bytes longer or shorter and compares those whose bound is k.
    for (size_t k = 0; k <= limit && k <= best; k++) {
        size_t low = length > k ? length - k : 0;
        size_t high = length + k < x->longest ? length + k : x->longest;
        if (k <= length && low <= x->longest) {
            set_bounds(x, x->first[low], x->first[low + 1], signature, -(long)k, bounds);
        }
        if (k > 0 && length + k <= x->longest) {
            set_bounds(x, x->first[high], x->first[high + 1], signature, (long)k, bounds);
        }
        for (size_t n = low; n <= high; n++) {
            size_t apart = n > length ? n - length : length - n;
            uint8_t wanted = (uint8_t)(k - apart > 255 ? 255 : k - apart);
            size_t end = x->first[n + 1];
            for (size_t from = x->first[n]; from < end; from += block) {
                size_t to = from + block < end ? from + block : end;
                uint8_t any = 0;
                for (size_t i = from; i < to; i++) any |= bounds[i] == wanted;
                if (!any) continue;
                for (size_t i = from; i < to; i++) {
                    if (bounds[i] != wanted || (k == best && x->ids[i] > nearest)) continue;
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
