// The sysroot's libc++ has no exceptions: a program that catches can be linked, and one that throws aborts.
#include <stdio.h>
#include <stdlib.h>

void *__cxa_allocate_exception(size_t n) { return malloc(n); }
void __cxa_free_exception(void *p) { free(p); }
_Noreturn void __cxa_throw(void *e, void *type, void (*destroy)(void *))
{
	(void)e, (void)type, (void)destroy;
	fputs("terminate: an exception was thrown, and this C++ library has none\n", stderr);
	abort();
}
_Noreturn void __cxa_rethrow(void) { abort(); }
void *__cxa_begin_catch(void *e) { return e; }
void __cxa_end_catch(void) {}
