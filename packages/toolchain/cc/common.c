// Common variables, of -fcommon: several files define one without a value, and a program has it once. WebAssembly has none, but weak ones.
#include "cc.h"
#include "wasm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENTS = 5, SYMBOLS = 8 };                      // parts of the section "linking"
enum { FUNCTION, DATA, GLOBAL, SECTION, EVENT, TABLE };  // kinds of symbols
enum { WEAK = 1, BINDING = 3, UNDEFINED = 0x10, NAMED = 0x40 };

static void skip_name(const struct bytes *m, size_t *at)
{
	int64_t n = number(m, at);
	*at += n > 0 ? n : 0;
}

// segments notes which segments of data have no values, in the order of the file. The compiler gives each variable one of its own.
static char *segments(const struct bytes *m, size_t at, int64_t *count)
{
	*count = number(m, &at);
	char *zero = *count > 0 ? calloc(*count, 1) : 0;
	for (int64_t i = 0; zero && i < *count; i++) {
		size_t name = at;
		int64_t n = number(m, &name);
		zero[i] = n > 5 && name + n <= m->n && !memcmp(m->b + name, ".bss.", 5);
		skip_name(m, &at);
		number(m, &at), number(m, &at); // alignment and flags
	}
	return zero;
}

// weaken makes the variables of these segments weak, which other files can define, too.
static void weaken(struct bytes *m, size_t at, const char *zero, int64_t count)
{
	int64_t symbols = number(m, &at);
	for (int64_t i = 0; i < symbols && at + 2 < m->n; i++) {
		int kind = m->b[at++];
		size_t flags_at = at;
		int64_t flags = number(m, &at);
		if (kind == SECTION) {
			number(m, &at);
		} else if (kind == DATA) {
			skip_name(m, &at);
			if (flags & UNDEFINED) continue;
			int64_t segment = number(m, &at);
			number(m, &at), number(m, &at); // offset and size
			if (!(flags & BINDING) && segment >= 0 && segment < count && zero[segment]) m->b[flags_at] |= WEAK;
		} else {
			number(m, &at);
			if (!(flags & UNDEFINED) || flags & NAMED) skip_name(m, &at);
		}
	}
}

// part finds a part of the section "linking", and returns where it is, or 0.
static size_t part(const struct bytes *m, int want)
{
	struct section s;
	for (size_t at = HEADER; is_module(m) && section(m, &at, &s);) {
		if (!named(m, &s, "linking")) continue;
		number(m, &s.at); // version
		while (s.at < s.end) {
			int kind = m->b[s.at++];
			int64_t size = number(m, &s.at);
			if (kind == want) return s.at;
			if (size < 0) break;
			s.at += size;
		}
	}
	return 0;
}

int make_common(const char *object)
{
	struct bytes m;
	int64_t count = 0;
	if (read_file(object, &m)) return perror(object), 1;
	size_t at = part(&m, SEGMENTS), symbols = part(&m, SYMBOLS);
	char *zero = at ? segments(&m, at, &count) : 0;
	if (zero && symbols) weaken(&m, symbols, zero, count);
	int rc = write_file(object, &m) ? perror(object), 1 : 0;
	free(zero), free(m.b);
	return rc;
}
