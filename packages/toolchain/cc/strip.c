// strip: LLVM's own cannot keep the executable bit here. It leaves objects and archives as they are: their names are what the linker reads.
#include "cc.h"
#include "wasm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// shorten removes the custom sections of a linked program. It reports whether it changed anything.
static int shorten(struct bytes *m)
{
	size_t to = HEADER;
	if (!is_module(m)) return 0;
	for (int write = 0; write < 2; write++) { // the first round only looks
		struct section s;
		size_t at = HEADER;
		while (section(m, &at, &s)) {
			if (named(m, &s, "linking")) return 0;
			if (write && s.kind != CUSTOM) {
				memmove(m->b + to, m->b + s.start, s.end - s.start);
				to += s.end - s.start;
			}
		}
		if (at < m->n) return 0;
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
