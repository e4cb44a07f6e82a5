#include "criteria.h"

/// Bits of a float that each of the three levels of the search looks at, from the top.
static const int level_shift[3] = {20, 8, 0};
static const uint32_t level_mask[3] = {0xfff, 0xfff, 0xff};

CK_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/// Probabilities are not negative, so their bits rise as they do. Instead of sorting 50,000 of
/// them, the bucket in which the running sum crosses the tail's mass is narrowed down three times;
/// what is left are equal probabilities, taken in order of their index as a stable sort has them.
float ck_adaptive_share(const float *p, const float *gap, size_t n, float tail_mass) {
    double mass[4096], gaps[4096];
    double reached = 0, tail = 0, all = 0;
    uint32_t prefix = 0;
    for (int level = 0; level < 3; level++) {
        int shift = level_shift[level];
        uint32_t mask = level_mask[level];
        int above = level == 0 ? 32 : level_shift[level - 1];
        memset(mass, 0, sizeof mass);
        memset(gaps, 0, sizeof gaps);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits = bits_of(p[i]);
            if (above < 32 && bits >> above != prefix >> above) continue;
            uint32_t bucket = (bits >> shift) & mask;
            mass[bucket] += p[i];
            gaps[bucket] += gap[i];
        }
        if (level == 0) {
            for (int b = 0; b < 4096; b++) all += gaps[b];
        }
        uint32_t bucket = 0;
        while (bucket <= mask && reached + mass[bucket] <= tail_mass) {
            reached += mass[bucket];
            tail += gaps[bucket];
            bucket++;
        }
        if (bucket > mask) break;  // rounding: the whole of it is tail
        prefix |= bucket << shift;
        if (level < 2) continue;
        for (size_t i = 0; i < n; i++) {
            if (bits_of(p[i]) != prefix) continue;
            reached += p[i];
            if (reached > tail_mass) break;
            tail += gap[i];
        }
    }
    return all > 0 ? (float)((all - tail) / all) : 0.5f;
}
