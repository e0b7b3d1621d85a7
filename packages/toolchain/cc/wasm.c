// Modules of WebAssembly in memory: files, numbers, sections.
#include "wasm.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int read_file(const char *file, struct bytes *to)
{
	struct stat st;
	int fd = open(file, O_RDONLY);
	if (fd < 0) return -1;
	*to = (struct bytes){0};
	if (!fstat(fd, &st) && (to->b = malloc(st.st_size + 1))) {
		ssize_t k;
		to->cap = st.st_size + 1;
		while (to->n < (size_t)st.st_size && (k = read(fd, to->b + to->n, st.st_size - to->n)) > 0) to->n += k;
	}
	close(fd);
	return to->b ? 0 : -1;
}
int write_file(const char *file, const struct bytes *from)
{
	size_t n = 0;
	ssize_t k = 0;
	int fd = open(file, O_WRONLY | O_TRUNC | O_CREAT, 0755);
	if (fd < 0) return -1;
	while (n < from->n && (k = write(fd, from->b + n, from->n - n)) > 0) n += k;
	return close(fd) || n < from->n ? -1 : 0;
}

void put(struct bytes *to, const void *from, size_t n)
{
	if (!n) return;
	if (to->n + n > to->cap) {
		to->cap = (to->n + n) * 2;
		if (!(to->b = realloc(to->b, to->cap))) {
			fputs("cc: out of memory\n", stderr);
			exit(1);
		}
	}
	memcpy(to->b + to->n, from, n);
	to->n += n;
}
void put_byte(struct bytes *to, int c)
{
	uint8_t b = c;
	put(to, &b, 1);
}
void put_number(struct bytes *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7) put_byte(to, (v & 0x7f) | 0x80);
	put_byte(to, v);
}

int64_t number(const struct bytes *m, size_t *at)
{
	uint64_t v = 0;
	for (int shift = 0; *at < m->n && shift < 35; shift += 7) {
		uint8_t c = m->b[(*at)++];
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) return v;
	}
	return -1;
}

_Noreturn void fault(const char *what)
{
	fprintf(stderr, "cc: the linked program: %s\n", what);
	exit(1);
}
int64_t take_number(const struct bytes *m, size_t *at)
{
	int64_t v = number(m, at);
	if (v < 0) fault("the linked program has a number that is too large");
	return v;
}

int is_module(const struct bytes *m) { return m->n >= HEADER && !memcmp(m->b, "\0asm\1\0\0\0", HEADER); }
int section(const struct bytes *m, size_t *at, struct section *s)
{
	if (*at >= m->n) return 0;
	s->start = (*at)++;
	s->kind = m->b[s->start];
	int64_t size = number(m, at);
	if (size < 0 || (uint64_t)size > m->n - *at) return 0;
	s->at = *at;
	*at = s->end = s->at + size;
	return 1;
}
int named(const struct bytes *m, struct section *s, const char *name)
{
	size_t at = s->at;
	int64_t n = s->kind == CUSTOM ? number(m, &at) : -1;
	if (n != (int64_t)strlen(name) || at + n > s->end || memcmp(m->b + at, name, n)) return 0;
	s->at = at + n;
	return 1;
}
