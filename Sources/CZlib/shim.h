#include <zlib.h>

// zlib's initialisers are macros, which Swift does not import.
static inline int hub_deflateInit(z_streamp stream, int level, int window_bits, int memory_level, int strategy) {
  return deflateInit2(stream, level, Z_DEFLATED, window_bits, memory_level, strategy);
}

static inline int hub_inflateInit(z_streamp stream, int window_bits) {
  return inflateInit2(stream, window_bits);
}
