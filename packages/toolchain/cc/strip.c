// strip: LLVM's own cannot keep the executable bit here. It leaves objects and archives as they are: their names are what the linker reads.
#include "cc.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes {
	uint8_t *b;
	size_t n;
};

static int read_file(const char *file, struct bytes *to)
{
	struct stat st;
	int fd = open(file, O_RDONLY);
	if (fd < 0) return -1;
	*to = (struct bytes){0};
	if (!fstat(fd, &st) && (to->b = malloc(st.st_size + 1))) {
		ssize_t k;
		while (to->n < (size_t)st.st_size && (k = read(fd, to->b + to->n, st.st_size - to->n)) > 0) to->n += k;
	}
	close(fd);
	return to->b ? 0 : -1;
}
static int write_file(const char *file, const struct bytes *from)
{
	size_t n = 0;
	ssize_t k = 0;
	int fd = open(file, O_WRONLY | O_TRUNC | O_CREAT, 0755);
	if (fd < 0) return -1;
	while (n < from->n && (k = write(fd, from->b + n, from->n - n)) > 0) n += k;
	return close(fd) || n < from->n ? -1 : 0;
}

// number reads an unsigned LEB128 number at *at. It returns -1 if there is none.
static int64_t number(const struct bytes *m, size_t *at)
{
	uint64_t v = 0;
	for (int shift = 0; *at < m->n && shift < 35; shift += 7) {
		uint8_t c = m->b[(*at)++];
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) return v;
	}
	return -1;
}

enum { CUSTOM = 0, HEADER = 8 };

// shorten removes the custom sections of a linked program. It reports whether it changed anything.
static int shorten(struct bytes *m)
{
	size_t to = HEADER;
	if (m->n < HEADER || memcmp(m->b, "\0asm\1\0\0\0", HEADER)) return 0;
	for (int write = 0; write < 2; write++) { // the first round only looks
		for (size_t at = HEADER; at < m->n;) {
			size_t start = at++;
			int64_t size = number(m, &at);
			if (size < 0 || (uint64_t)size > m->n - at) return 0;
			size_t name_at = at, end = at + size;
			int64_t len = m->b[start] == CUSTOM ? number(m, &name_at) : 0;
			if (m->b[start] == CUSTOM && len == 7 && name_at + 7 <= end && !memcmp(m->b + name_at, "linking", 7)) return 0;
			if (write && m->b[start] != CUSTOM) {
				memmove(m->b + to, m->b + start, end - start);
				to += end - start;
			}
			at = end;
		}
	}
	if (to == m->n) return 0;
	m->n = to;
	return 1;
}

int strip(int argc, char **argv)
{
	const char *output = 0;
	int rc = 0, files = 0;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-o") && i + 1 < argc) output = argv[i + 1];
	for (int i = 1; i < argc; i++) {
		struct bytes m;
		if (!strcmp(argv[i], "-o") || !strcmp(argv[i], "-R") || !strcmp(argv[i], "-N") || !strcmp(argv[i], "-K")) i++;
		else if (argv[i][0] != '-') {
			files++;
			if (read_file(argv[i], &m) || ((shorten(&m) || output) && write_file(output ? output : argv[i], &m))) perror(argv[i]), rc = 1;
			else free(m.b);
		}
	}
	if (files) return rc;
	fputs("usage: strip [-o FILE] FILE…\n", stderr);
	return 1;
}
