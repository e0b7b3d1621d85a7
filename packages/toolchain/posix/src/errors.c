// err.h: what programs of BSD say when something goes wrong. wasi-libc has the header and not the functions.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char *program_invocation_short_name;

static void say(const char *format, va_list args, int e)
{
	fprintf(stderr, "%s: ", program_invocation_short_name ? program_invocation_short_name : "?");
	if (format) vfprintf(stderr, format, args);
	if (e) fprintf(stderr, format ? ": %s" : "%s", strerror(e));
	fputc('\n', stderr);
}
void vwarn(const char *format, va_list args) { say(format, args, errno); }
void vwarnx(const char *format, va_list args) { say(format, args, 0); }
_Noreturn void verr(int status, const char *format, va_list args)
{
	say(format, args, errno);
	exit(status);
}
_Noreturn void verrx(int status, const char *format, va_list args)
{
	say(format, args, 0);
	exit(status);
}

// With the arguments of a function that ends in "...".
#define VARIABLE(call)     \
	va_list args;          \
	va_start(args, format); \
	call;                  \
	va_end(args)
void warn(const char *format, ...) { VARIABLE(vwarn(format, args)); }
void warnx(const char *format, ...) { VARIABLE(vwarnx(format, args)); }
_Noreturn void err(int status, const char *format, ...) { VARIABLE(verr(status, format, args)); }
_Noreturn void errx(int status, const char *format, ...) { VARIABLE(verrx(status, format, args)); }
