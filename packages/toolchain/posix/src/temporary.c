// Temporary files and names.
#define _GNU_SOURCE
#include "host.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

enum { TRIES = 100, BLANKS = 6 };
static const char blanks[] = "XXXXXX";

// name fills in the blanks that end a template of n characters.
static int name(char *t, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
	uint8_t r[BLANKS];
	if (n < BLANKS || memcmp(t + n - BLANKS, blanks, BLANKS)) return fail(EINVAL);
	int e = __wasi_random_get(r, sizeof r);
	for (int i = 0; !e && i < BLANKS; i++) t[n - BLANKS + i] = letters[r[i] % 32];
	return check(e);
}
static void again(char *t, size_t n) { memcpy(t + n - BLANKS, blanks, BLANKS); }

int mkostemps(char *t, int suffix, int flags)
{
	size_t n = strlen(t) - suffix;
	for (int i = 0; i < TRIES; i++) {
		if (name(t, n)) return -1;
		int fd = open(t, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
		if (fd >= 0 || errno != EEXIST) return fd;
		again(t, n);
	}
	return -1;
}
int mkstemp(char *t) { return mkostemps(t, 0, 0); }
int mkostemp(char *t, int flags) { return mkostemps(t, 0, flags); }
int mkstemps(char *t, int suffix) { return mkostemps(t, suffix, 0); }
char *mkdtemp(char *t)
{
	size_t n = strlen(t);
	for (int i = 0; i < TRIES; i++) {
		if (name(t, n)) return 0;
		if (!mkdir(t, 0700)) return t;
		if (errno != EEXIST) return 0;
		again(t, n);
	}
	return 0;
}
char *mktemp(char *t)
{
	size_t n = strlen(t);
	struct stat st;
	for (int i = 0; i < TRIES && !name(t, n); i++) {
		if (stat(t, &st)) return t;
		again(t, n);
	}
	*t = 0;
	return t;
}
char *tmpnam(char *b)
{
	static char own[20];
	return mktemp(strcpy(b ? b : own, "/tmp/tmpXXXXXX"));
}
char *tempnam(const char *dir, const char *prefix)
{
	char *t = malloc(PATH_MAX);
	if (!t) return 0;
	snprintf(t, PATH_MAX, "%s/%s%s", dir ? dir : "/tmp", prefix ? prefix : "", blanks);
	return mktemp(t);
}
FILE *tmpfile(void)
{
	char t[] = "/tmp/tmpXXXXXX";
	int fd = mkstemp(t);
	if (fd < 0) return 0;
	unlink(t);
	return fdopen(fd, "w+");
}

// Streams need no locks: there are no threads.
void flockfile(FILE *f) { (void)f; }
int ftrylockfile(FILE *f) { return (void)f, 0; }
void funlockfile(FILE *f) { (void)f; }
