#include_next <sys/types.h>
/* Older C libraries give these with the types, and sources rely on it. Methods of C++ have such names. */
#if !defined(__cplusplus) && (defined(_GNU_SOURCE) || defined(_BSD_SOURCE))
#include <sys/sysmacros.h>
#endif
