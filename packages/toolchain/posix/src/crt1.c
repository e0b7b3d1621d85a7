// The start of a program. Like wasi-libc's, but it always ends by a call: a forked child that returned from _start would end its parent, too.
// With -DENVMAIN it is for a main of three arguments, which wasi-libc does not know.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

extern void __wasm_call_ctors(void);
extern char *program_invocation_name, *program_invocation_short_name;

// arguments returns how many there are, or a number below 0, and says to the C library what the program is called.
static int arguments(char ***argv)
{
	__wasi_size_t n, size;
	if (__wasi_args_sizes_get(&n, &size)) return -1;
	*argv = calloc(n + 1, sizeof **argv);
	char *text = malloc(size + 1);
	if (!*argv || !text || __wasi_args_get((uint8_t **)*argv, (uint8_t *)text)) return -1;
	if (n > 0) {
		char *slash = strrchr(**argv, '/');
		program_invocation_name = **argv;
		program_invocation_short_name = slash ? slash + 1 : **argv;
	}
	return n;
}

#ifdef ENVMAIN
extern int main_with_env(int, char **, char **) __asm__("main");
static int run(void)
{
	char **argv;
	int n = arguments(&argv);
	return n < 0 ? 127 : main_with_env(n, argv, environ);
}
#else
extern int __main_void(void); // the program's, or libc's, which reads the arguments again for a main that takes them
static int run(void)
{
	char **argv;
	return arguments(&argv) < 0 ? 127 : __main_void();
}
#endif

__attribute__((export_name("_start"))) void _start(void)
{
	__wasm_call_ctors();
	exit(run());
}

// The kernel knows its programs by this export.
__attribute__((export_name("__nuka_posix"))) void __nuka_posix(void) {}
