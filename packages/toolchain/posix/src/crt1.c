// The start of a program. Like wasi-libc's, but it always ends by a call: a forked child that returned from _start would end its parent, too.
// With -DENVMAIN it is for a main of three arguments, which wasi-libc does not know.
#include <stdlib.h>
#include <unistd.h>
#include <wasi/api.h>

extern void __wasm_call_ctors(void);
#ifdef ENVMAIN
extern int main_with_env(int, char **, char **) __asm__("main");
static int run(void)
{
	__wasi_size_t n, size;
	if (__wasi_args_sizes_get(&n, &size)) return 127;
	char **argv = calloc(n + 1, sizeof *argv), *text = malloc(size + 1);
	if (!argv || !text || __wasi_args_get((uint8_t **)argv, (uint8_t *)text)) return 127;
	return main_with_env(n, argv, environ);
}
#else
extern int __main_void(void);
static int run(void) { return __main_void(); }
#endif

__attribute__((export_name("_start"))) void _start(void)
{
	__wasm_call_ctors();
	exit(run());
}

// The kernel knows its programs by this export.
__attribute__((export_name("__nuka_posix"))) void __nuka_posix(void) {}
