#ifndef __wasilibc___errno_h
#define __wasilibc___errno_h
#ifdef __cplusplus
extern "C" {
#endif
/* An ordinary variable, as sources that declare it themselves expect. There are no threads, so that of wasi-libc, which is a thread's own, is one, too. */
extern int errno;
#define errno errno
#ifdef __cplusplus
}
#endif
#endif
