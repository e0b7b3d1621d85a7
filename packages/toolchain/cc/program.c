// Linked programs: their types and functions.
#include "wasm.h"
#include "program.h"
#include <stdlib.h>
#include <string.h>

void *room(int64_t n, size_t size)
{
	void *p = calloc(n + 1, size);
	if (!p) fault("out of memory");
	return p;
}
int has_section(const struct program *p, int kind, struct section *s)
{
	for (size_t at = HEADER; section(&p->m, &at, s);)
		if (s->kind == kind) return 1;
	return 0;
}
int has_bytes(const char *file, const char *bytes, size_t n)
{
	struct bytes m = {0};
	int found = !read_file(file, &m) && is_module(&m) && memmem(m.b, m.n, bytes, n);
	free(m.b);
	return found;
}

static void read_types(struct program *p)
{
	struct section s;
	if (!has_section(p, TYPES, &s)) return;
	p->ntypes = take_number(&p->m, &s.at);
	p->types = room(p->ntypes, sizeof *p->types);
	for (int64_t i = 0; i < p->ntypes; i++) {
		if (p->m.b[s.at++] != FUNC) fault("a type is not one of functions");
		struct type *t = &p->types[i];
		t->nparams = take_number(&p->m, &s.at), t->params = s.at, s.at += t->nparams;
		t->nresults = take_number(&p->m, &s.at), t->results = s.at, s.at += t->nresults;
	}
}
static void read_functions(struct program *p)
{
	struct section s;
	size_t imports = 0, own = 0;
	if (has_section(p, IMPORTS, &s)) p->nimported = take_number(&p->m, &s.at), imports = s.at;
	struct section f;
	int64_t n = has_section(p, FUNCTIONS, &f) ? take_number(&p->m, &f.at) : 0;
	own = f.at;
	p->functions = room(p->nimported + n, sizeof *p->functions);
	for (int64_t i = p->nimported; i > 0; i--) {
		int64_t len = take_number(&p->m, &imports);
		imports += len, len = take_number(&p->m, &imports), imports += len;
		if (p->m.b[imports++] != 0) fault("it imports something that is not a function");
		p->functions[p->nfunctions++] = take_number(&p->m, &imports);
	}
	while (n-- > 0) p->functions[p->nfunctions++] = take_number(&p->m, &own);
}
int read_program(const char *file, struct program *p)
{
	*p = (struct program){0};
	if (read_file(file, &p->m)) return -1;
	if (!is_module(&p->m)) return 0;
	read_types(p), read_functions(p);
	return 1;
}

int put_zero(struct bytes *to, int type)
{
	static const char nothing[16];
	if (type == I32 || type == I64) put_byte(to, type == I32 ? 0x41 : 0x42), put_byte(to, 0);
	else if (type == F32 || type == F64) put_byte(to, type == F32 ? 0x43 : 0x44), put(to, nothing, type == F32 ? 4 : 8);
	else if (type == VECTOR) put_byte(to, 0xfd), put_byte(to, 0x0c), put(to, nothing, 16);
	else return 0;
	return 1;
}
void put_section(struct bytes *to, int kind, struct bytes *content)
{
	put_byte(to, kind);
	put_number(to, content->n);
	put(to, content->b, content->n);
	free(content->b);
}
