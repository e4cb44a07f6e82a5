/// Levenshtein distances between short texts, and the nearest text of many.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// out (count) = the edit distance, in bytes, of `text` (length) to each text of `bytes`: text i lies
/// from offsets[i] to offsets[i + 1], offsets (count + 1).
///
/// Bit-parallel (Myers 1999, in the form of Hyyro 2003) where one of the two has 64 bytes or less, the
/// table of Wagner and Fischer where both are longer. `masks` holds 256 zeros, before and after; `row`
/// as many as the longest text has bytes, and one more.
void ck_edit_distances(
    const uint8_t *text, size_t length, const uint8_t *bytes, const uint32_t *offsets,
    size_t count, uint64_t *masks, uint32_t *row, uint32_t *out);

/// One bit for each (byte, how many of that byte came before it), made of a hash: bits of one text that
/// the other lacks stand for as many bytes, at least, that it lacks.
uint64_t ck_text_signature(const uint8_t *text, size_t length);

/// Texts in order of (length, id).
typedef struct {
    const uint8_t *bytes;        // end to end
    const uint32_t *offsets;     // (count + 1)
    const uint32_t *ids;         // (count)
    const uint64_t *signatures;  // (count), of `ck_text_signature`
    const uint8_t *sizes;        // (count), bits of the signatures
    const uint32_t *first;       // (longest + 2), the first text of at least so many bytes
    size_t longest;              // bytes of the longest text
} ck_text_index;

/// The id of the text with the least edit distance to `text` (length), the lowest of equals;
/// UINT32_MAX where there is none.
///
/// `bounds` holds one byte a text of the index, and 64 more; `masks` and `row` as in `ck_edit_distances`.
uint32_t ck_nearest_text(
    const ck_text_index *index, const uint8_t *text, size_t length, uint8_t *bounds,
    uint64_t *masks, uint32_t *row);
