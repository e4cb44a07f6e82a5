#pragma once
#include <zlib.h>

/// `deflateInit2` and `inflateInit2` are macros, which Swift cannot import.
static inline int rz_deflate_init(z_stream *stream, int level, int window, int strategy) {
    return deflateInit2(stream, level, Z_DEFLATED, window, 9, strategy);
}
static inline int rz_inflate_init(z_stream *stream, int window) {
    return inflateInit2(stream, window);
}
