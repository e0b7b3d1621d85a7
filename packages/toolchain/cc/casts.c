// Calls of functions by a pointer or a declaration of another type. A machine passes what it is given; WebAssembly traps, or the linker puts a trap there.
//
// Each type that calls by a pointer have gets a function, which asks a second table for the type that the function has, and calls it as that one.
#include "cc.h"
#include "wasm.h"
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct program p;
static int64_t npointed, ncalls;
static int *pointed; // the numbers of the types of functions that have pointers, in the order of the list below, or -1
static int *called;  // the numbers of the types that calls by a pointer have, or -1
static int64_t *pointed_list, *called_list;

static int64_t take(size_t *at) { return take_number(&p.m, at); }

// note gives a type a number in a list of types, if it has none.
static void note(int64_t type, int *numbers, int64_t *list, int64_t *n)
{
	if (type >= p.ntypes) fault("there is no such type");
	if (numbers[type] >= 0) return;
	numbers[type] = *n;
	list[(*n)++] = type;
}

// elements calls a function for each segment of the table with where it begins, where its functions do, and how many these are.
static int64_t elements(void each(size_t start, size_t list, int64_t n))
{
	struct section s;
	if (!has_section(&p, ELEMENTS, &s)) return 0;
	int64_t count = take(&s.at);
	for (int64_t i = 0; i < count; i++) {
		if (take(&s.at) != 0) fault("a segment of the table is of an unknown kind");
		size_t start = s.at;
		if (p.m.b[s.at++] != 0x41) fault("a segment of the table does not begin at a number");
		while (p.m.b[s.at++] & 0x80) {}
		if (p.m.b[s.at++] != 0x0b) fault("a segment of the table does not begin at a number");
		size_t list = s.at;
		int64_t n = take(&s.at);
		each(start, list, n);
		while (n-- > 0) take(&s.at);
	}
	return count;
}
static void note_pointed(size_t start, size_t list, int64_t n)
{
	(void)start;
	take(&list);
	while (n-- > 0) {
		int64_t f = take(&list);
		if (f >= p.nfunctions) fault("there is no such function");
		note(p.functions[f], pointed, pointed_list, &npointed);
	}
}

// A stub is a function that the linker made for calls by a declaration of another type. It traps.
static const char stub_prefix[] = "signature_mismatch:";
enum { PREFIX = sizeof stub_prefix - 1, FUNCTION_NAMES = 1 };
static int64_t *stub_of; // for each function the one that it stands for, or -1

// A name of a function, in the section of names.
struct name {
	int64_t function, n;
	const char *text;
};
// names finds the names of functions, and returns how many there are.
static int64_t names(size_t *at)
{
	struct section s;
	for (size_t next = HEADER; section(&p.m, &next, &s);) {
		if (!named(&p.m, &s, "name")) continue;
		while (s.at < s.end) {
			int kind = p.m.b[s.at++];
			int64_t size = take(&s.at);
			*at = s.at;
			if (kind == FUNCTION_NAMES) return take(at);
			s.at += size;
		}
	}
	return 0;
}
static struct name next_name(size_t *at)
{
	struct name n = {.function = take(at)};
	n.n = take(at), n.text = (const char *)p.m.b + *at;
	*at += n.n;
	return n;
}
static int is_stub(const struct name *n) { return n->n > PREFIX && !memcmp(n->text, stub_prefix, PREFIX); }
static void read_stubs(void)
{
	stub_of = room(p.nfunctions, sizeof *stub_of);
	for (int64_t i = 0; i < p.nfunctions; i++) stub_of[i] = -1;
	size_t all = 0;
	int64_t count = names(&all);
	size_t at = all;
	for (int64_t i = 0; i < count; i++) {
		struct name stub = next_name(&at);
		if (!is_stub(&stub) || stub.function >= p.nfunctions) continue;
		size_t other = all;
		for (int64_t j = 0; j < count; j++) {
			struct name n = next_name(&other);
			if (n.n == stub.n - PREFIX && !memcmp(n.text, stub.text + PREFIX, n.n)) stub_of[stub.function] = n.function;
		}
	}
}

int mismatched(const char *program) { return has_bytes(program, stub_prefix, PREFIX); }

static int is_number(int type) { return type == I32 || type == I64 || type == F32 || type == F64; }

// convert makes a value of one type one of another. It returns 0 if there is no such value.
static int convert(struct bytes *to, int from, int want)
{
	if (from == want) return 1;
	if (!is_number(from) || !is_number(want)) return 0;
	if (from == I32 && want == I64) return put_byte(to, 0xac), 1;
	if (from == I64 && want == I32) return put_byte(to, 0xa7), 1;
	if (from == F32 && want == F64) return put_byte(to, 0xbb), 1;
	if (from == F64 && want == F32) return put_byte(to, 0xb6), 1;
	return 0;
}
// adapt writes a call with the parameters of one type of a function of another: function, or by the pointer in the last parameter.
static void adapt(struct bytes *to, int64_t type, int64_t want, int64_t function)
{
	const struct type *t = &p.types[type], *f = &p.types[want];
	int ok = 1;
	for (int64_t i = 0; i < f->nparams; i++) {
		int wanted = p.m.b[f->params + i], given = i < t->nparams ? p.m.b[t->params + i] : 0;
		struct bytes how = {0};
		if (given && convert(&how, given, wanted)) put_byte(to, 0x20), put_number(to, i), put(to, how.b, how.n);
		else ok &= put_zero(to, wanted); // in a machine it would be in another register
		free(how.b);
	}
	if (function >= 0) put_byte(to, 0x10), put_number(to, function);
	else put_byte(to, 0x20), put_number(to, t->nparams), put_byte(to, 0x11), put_number(to, want), put_byte(to, 0);
	int same = t->nresults == f->nresults && !memcmp(p.m.b + t->results, p.m.b + f->results, t->nresults);
	if (!same && t->nresults + f->nresults > 0) {
		int has = f->nresults == 1 && t->nresults == 1 && convert(to, p.m.b[f->results], p.m.b[t->results]);
		for (int64_t i = 0; !has && i < f->nresults; i++) put_byte(to, 0x1a);
		for (int64_t i = 0; !has && i < t->nresults; i++) ok &= put_zero(to, p.m.b[t->results + i]);
	}
	put_byte(to, ok ? 0x0f : 0x00);
}

static void put_body(struct bytes *to, struct bytes *body)
{
	put_byte(body, 0x0b);
	put_number(to, body->n);
	put(to, body->b, body->n);
	free(body->b);
}
// put_dispatch writes the function for calls of a type.
static void put_dispatch(struct bytes *to, int64_t type, int64_t sig_type)
{
	struct bytes b = {0};
	put_byte(&b, 0); // variables
	for (int64_t i = 0; i < npointed; i++) put_byte(&b, 0x02), put_byte(&b, EMPTY);
	put_byte(&b, 0x20), put_number(&b, p.types[type].nparams);
	put_byte(&b, 0x11), put_number(&b, sig_type), put_byte(&b, 1);
	put_byte(&b, 0x0e), put_number(&b, npointed ? npointed - 1 : 0);
	for (int64_t i = 0; i < npointed; i++) put_number(&b, i);
	for (int64_t i = 0; i < npointed; i++) {
		put_byte(&b, 0x0b);
		adapt(&b, type, pointed_list[i], -1);
	}
	put_byte(&b, 0x00);
	put_body(to, &b);
}

static struct bytes out;
static void write_types(struct section s)
{
	struct bytes b = {0};
	size_t at = s.at;
	take(&at);
	put_number(&b, p.ntypes + 1 + ncalls);
	put(&b, p.m.b + at, s.end - at);
	const uint8_t sig[] = {FUNC, 0, 1, I32};
	put(&b, sig, sizeof sig);
	for (int64_t i = 0; i < ncalls; i++) {
		const struct type *t = &p.types[called_list[i]];
		put_byte(&b, FUNC), put_number(&b, t->nparams + 1), put(&b, p.m.b + t->params, t->nparams), put_byte(&b, I32);
		put_number(&b, t->nresults), put(&b, p.m.b + t->results, t->nresults);
	}
	put_section(&out, TYPES, &b);
}
static void write_functions(struct section s)
{
	struct bytes b = {0};
	size_t at = s.at;
	put_number(&b, take(&at) + npointed + ncalls);
	put(&b, p.m.b + at, s.end - at);
	for (int64_t i = 0; i < npointed; i++) put_number(&b, p.ntypes);
	for (int64_t i = 0; i < ncalls; i++) put_number(&b, p.ntypes + 1 + i);
	put_section(&out, FUNCTIONS, &b);
}
static void write_tables(struct section s)
{
	struct bytes b = {0};
	size_t at = s.at;
	if (take(&at) != 1 || p.m.b[at] != FUNCREF) fault("there are several tables");
	put_number(&b, 2);
	put(&b, p.m.b + at, s.end - at), put(&b, p.m.b + at, s.end - at);
	put_section(&out, TABLES, &b);
}
static struct bytes mirrored;
static void mirror(size_t start, size_t list, int64_t n)
{
	put_number(&mirrored, 2), put_number(&mirrored, 1); // for the second table
	put(&mirrored, p.m.b + start, list - start);
	put_byte(&mirrored, 0); // functions
	put_number(&mirrored, n);
	take(&list);
	while (n-- > 0) put_number(&mirrored, p.nfunctions + pointed[p.functions[take(&list)]]);
}
static void write_elements(struct section s)
{
	struct bytes b = {0};
	size_t at = s.at;
	put_number(&b, 2 * take(&at));
	put(&b, p.m.b + at, s.end - at);
	elements(mirror);
	put(&b, mirrored.b, mirrored.n);
	put_section(&out, ELEMENTS, &b);
}

// write_body writes a function with other calls.
static void write_body(struct bytes *to, size_t at, size_t end, int all)
{
	struct bytes b = {0};
	size_t from = at;
	at = body(&p.m, at);
	while (all && at < end) {
		int64_t type = 0;
		size_t start = at;
		if (instruction(&p.m, &at, &type) != CALL_BY_POINTER) continue;
		put(&b, p.m.b + from, start - from);
		put_byte(&b, 0x10), put_number(&b, p.nfunctions + npointed + called[type]);
		from = at;
	}
	put(&b, p.m.b + from, end - from);
	put_number(to, b.n), put(to, b.b, b.n);
	free(b.b);
}
static void write_code(struct section s, int all)
{
	struct bytes b = {0};
	size_t at = s.at;
	int64_t count = take(&at);
	put_number(&b, count + npointed + ncalls);
	for (int64_t i = p.nimported; i < p.nimported + count; i++) {
		size_t end = take(&at);
		end += at;
		if (stub_of[i] >= 0) {
			struct bytes stub = {0};
			put_byte(&stub, 0);
			adapt(&stub, p.functions[i], p.functions[stub_of[i]], stub_of[i]);
			put_body(&b, &stub);
		} else {
			write_body(&b, at, end, all);
		}
		at = end;
	}
	for (int64_t i = 0; i < npointed; i++) {
		struct bytes sig = {0};
		put_byte(&sig, 0), put_byte(&sig, 0x41);
		if (i > 0x3f) put_byte(&sig, (i & 0x7f) | 0x80), put_byte(&sig, i >> 7); // the bit 0x40 of the last byte is the sign
		else put_byte(&sig, i);
		put_body(&b, &sig);
	}
	for (int64_t i = 0; i < ncalls; i++) put_dispatch(&b, called_list[i], p.ntypes);
	put_section(&out, CODE, &b);
}

static void note_calls(void)
{
	struct section s;
	if (!has_section(&p, CODE, &s)) return;
	for (int64_t n = take(&s.at); n > 0; n--) {
		size_t end = take(&s.at);
		end += s.at;
		for (size_t at = body(&p.m, s.at); at < end;) {
			int64_t type = 0;
			if (instruction(&p.m, &at, &type) == CALL_BY_POINTER) note(type, called, called_list, &ncalls);
		}
		s.at = end;
	}
}

int cast_functions(const char *program, int all)
{
	int is = read_program(program, &p);
	if (is <= 0) return is ? perror(program), 1 : 0;
	read_stubs();
	pointed = room(p.ntypes, sizeof *pointed), called = room(p.ntypes, sizeof *called);
	pointed_list = room(p.ntypes, sizeof *pointed_list), called_list = room(p.ntypes, sizeof *called_list);
	for (int64_t i = 0; i < p.ntypes; i++) pointed[i] = called[i] = -1;
	if (all) elements(note_pointed), note_calls();
	if (npointed == 0) all = ncalls = 0;
	put(&out, p.m.b, HEADER);
	struct section s;
	for (size_t at = HEADER; section(&p.m, &at, &s);) {
		if (s.kind == CODE) write_code(s, all);
		else if (all && s.kind == TYPES) write_types(s);
		else if (all && s.kind == FUNCTIONS) write_functions(s);
		else if (all && s.kind == TABLES) write_tables(s);
		else if (all && s.kind == ELEMENTS) write_elements(s);
		else put(&out, p.m.b + s.start, s.end - s.start);
	}
	if (write_file(program, &out)) return perror(program), 1;
	return 0;
}
