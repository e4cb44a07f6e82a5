/// The checksum of every stored chunk.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// CRC-32C (Castagnoli, reflected, as in iSCSI) of x (n bytes), continuing from `seed` (0 to begin).
uint32_t ck_crc32c(uint32_t seed, const uint8_t *x, size_t n);

#ifdef __cplusplus
}
#endif
