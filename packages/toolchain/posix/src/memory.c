// Aligned memory, by the names that are older than aligned_alloc.
#include <stdlib.h>
#include <unistd.h>

void *memalign(size_t alignment, size_t n) { return aligned_alloc(alignment, n); }
void *valloc(size_t n) { return aligned_alloc(getpagesize(), n); }
