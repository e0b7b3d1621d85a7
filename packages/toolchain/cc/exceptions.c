// Exceptions, in a linked program. clang's instructions for them are few runtimes' own; wazero copies the whole stack at each try, and a handler sees old values of
// variables. So they become plain code: a global variable has the exception that is on its way. A function that throws sets it and goes to its own handler or
// returns, and so does one after it called a function that may. If nothing in the program catches, a throw ends it at once, and calls stay as they are.
#include "cc.h"
#include "wasm.h"
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct program p;
static char *throws, *exported; // for each function: whether an exception may leave it, and whether others call it
static int catches;             // a handler ends an exception
static int64_t flag, uncaught;  // the global variable, and the function for an exception that nothing catches, or -1

static int64_t take(size_t *at) { return take_number(&p.m, at); }
static int plain(int type) { return type == EXNREF ? I32 : type; }

// A frame is a block, a loop, a condition or a try around an instruction.
struct frame {
	int64_t label;  // how many frames are around it in what is written
	int64_t pad;    // the same for the block whose end is the handler, or -1
	int64_t target; // the label of the block to which the handler goes
	int kind;       // of the handler
};
static struct frame *frames;
static int64_t nframes, cap, depth;

static void push(struct frame f)
{
	if (nframes == cap && !(frames = realloc(frames, (cap = cap * 2 + 64) * sizeof *frames))) fault("out of memory");
	frames[nframes++] = f;
}
// handler returns the innermost frame that handles exceptions, or 0.
static const struct frame *handler(void)
{
	for (int64_t i = nframes; i > 0; i--)
		if (frames[i - 1].pad >= 0) return &frames[i - 1];
	return 0;
}
static int64_t label_of(int64_t around)
{
	if (around >= nframes) fault("a branch leads out of its function");
	return frames[nframes - 1 - around].label;
}
// try_frame reads what follows the first byte of a try. There is one kind of exception, so the first handler takes all.
static struct frame try_frame(size_t at)
{
	struct frame f = {.pad = -1};
	if (p.m.b[at] < 0x40) fault("a try has arguments");
	at++;
	if (take(&at) == 0) return f;
	f.kind = p.m.b[at++];
	if (f.kind <= CATCH_REF && take(&at) != 0) fault("it has exceptions of several kinds");
	f.target = label_of(take(&at)), f.pad = 0;
	return f;
}

// Who calls whom where nothing handles exceptions. Behind the functions come the types that calls by a pointer have.
static int64_t *first, *next, *caller, ncalls, calls_cap, *canonical;
static void note_call(int64_t callee, int64_t by)
{
	if (ncalls == calls_cap) {
		calls_cap = calls_cap * 2 + 1024;
		next = realloc(next, calls_cap * sizeof *next), caller = realloc(caller, calls_cap * sizeof *caller);
		if (!next || !caller) fault("out of memory");
	}
	caller[ncalls] = by, next[ncalls] = first[callee], first[callee] = ncalls++;
}
static int64_t pointer_of(int64_t type) { return p.nfunctions + canonical[type]; }
static int same(const struct type *a, const struct type *b)
{
	return a->nparams == b->nparams && a->nresults == b->nresults && !memcmp(p.m.b + a->params, p.m.b + b->params, a->nparams) &&
		!memcmp(p.m.b + a->results, p.m.b + b->results, a->nresults);
}
static void begin_analysis(void)
{
	int64_t nodes = p.nfunctions + p.ntypes;
	throws = room(nodes, 1), exported = room(p.nfunctions, 1), first = room(nodes, sizeof *first), canonical = room(p.ntypes, sizeof *canonical);
	for (int64_t i = 0; i < nodes; i++) first[i] = -1;
	for (int64_t i = 0; i < p.ntypes; i++)
		while (!same(&p.types[canonical[i]], &p.types[i])) canonical[i]++;
}
static void analyse_table(void)
{
	struct section s;
	if (!has_section(&p, ELEMENTS, &s)) return;
	for (int64_t n = take(&s.at); n > 0; n--) {
		int64_t kind = take(&s.at);
		if (kind != 0 && kind != 2) fault("a segment of the table is of an unknown kind");
		if (kind == 2) take(&s.at);
		while (p.m.b[s.at++] != END) {}
		if (kind == 2) s.at++;
		for (int64_t k = take(&s.at); k > 0; k--) {
			int64_t f = take(&s.at);
			note_call(f, pointer_of(p.functions[f]));
		}
	}
}
static void analyse_function(int64_t f, size_t at, size_t end)
{
	nframes = 0;
	push((struct frame){.pad = -1});
	for (at = body(&p.m, at); at < end;) {
		int64_t type = 0;
		size_t operand = at + 1;
		int op = instruction(&p.m, &at, &type);
		if (op == BLOCK || op == LOOP || op == IF) push((struct frame){.pad = -1});
		else if (op == END) nframes--;
		else if (op == TRY) push(try_frame(operand)), catches |= frames[nframes - 1].pad >= 0 && frames[nframes - 1].kind <= CATCH_REF;
		else if (handler()) continue;
		else if (op == THROW || op == THROW_REF) throws[f] = 1;
		else if (op == CALL) note_call(take(&operand), f);
		else if (op == CALL_BY_POINTER) note_call(pointer_of(type), f);
	}
}
// spread marks all that call what throws.
static void spread(void)
{
	int64_t nodes = p.nfunctions + p.ntypes, n = 0, *list = room(nodes, sizeof *list);
	for (int64_t i = 0; i < nodes; i++)
		if (throws[i]) list[n++] = i;
	while (n > 0)
		for (int64_t c = first[list[--n]]; c >= 0; c = next[c])
			if (!throws[caller[c]]) throws[caller[c]] = 1, list[n++] = caller[c];
	free(list);
}
static void read_exports(void)
{
	static const char name[] = "__cxx_uncaught";
	struct section s;
	uncaught = -1;
	for (int64_t n = has_section(&p, EXPORTS, &s) ? take(&s.at) : 0; n > 0; n--) {
		int64_t len = take(&s.at);
		const uint8_t *text = p.m.b + s.at;
		int kind = p.m.b[s.at += len];
		s.at++;
		int64_t what = take(&s.at);
		if (kind != 0) continue;
		exported[what] = 1;
		if (len == sizeof name - 1 && !memcmp(text, name, len)) uncaught = what;
	}
}

static void branch(struct bytes *b, int op, int64_t label) { put_byte(b, op), put_number(b, depth - 1 - label); }
static void get_flag(struct bytes *b) { put_byte(b, GET_GLOBAL), put_number(b, flag); }
static void clear_flag(struct bytes *b) { put_byte(b, CONST), put_byte(b, 0), put_byte(b, SET_GLOBAL), put_number(b, flag); }
static void end_program(struct bytes *b)
{
	if (uncaught >= 0) put_byte(b, CALL), put_number(b, uncaught);
	put_byte(b, 0x00);
}
static void unwind(struct bytes *b, int op)
{
	const struct frame *h = handler();
	branch(b, op, h ? h->pad : 1);
}
static void raise_it(struct bytes *b, int op)
{
	if (!catches) return op == THROW ? end_program(b) : put_byte(b, 0x00);
	put_byte(b, SET_GLOBAL), put_number(b, flag);
	unwind(b, BRANCH);
}
static void open_block(struct bytes *b, int op, size_t type, size_t end)
{
	put_byte(b, op);
	if (end == type + 1) put_byte(b, plain(p.m.b[type]));
	else put(b, p.m.b + type, end - type);
	depth++;
}
static void open_try(struct bytes *b, size_t at)
{
	struct frame f = try_frame(at);
	f.label = depth;
	open_block(b, BLOCK, at, at + 1);
	if (f.pad >= 0 && catches) put_byte(b, BLOCK), put_byte(b, EMPTY), f.pad = depth++;
	else f.pad = -1;
	push(f);
}
static void close_frame(struct bytes *b)
{
	struct frame f = frames[--nframes];
	if (f.pad >= 0) {
		put_byte(b, BRANCH), put_byte(b, 1), put_byte(b, END), depth--;
		if (f.kind != CATCH_ALL) get_flag(b);
		if (f.kind == CATCH_REF) get_flag(b);
		clear_flag(b);
		branch(b, BRANCH, f.target);
	}
	put_byte(b, END), depth--;
}
// close_function ends a function, which goes there for an exception.
static void close_function(struct bytes *b, int64_t f)
{
	if (throws[f]) {
		put_byte(b, RETURN), put_byte(b, END);
		const struct type *t = &p.types[p.functions[f]];
		if (exported[f]) get_flag(b), clear_flag(b), end_program(b);
		else
			for (int64_t i = 0; i < t->nresults; i++)
				if (!put_zero(b, plain(p.m.b[t->results + i]))) fault("a function with a result of an unknown type throws");
	}
	put_byte(b, END);
}

static size_t write_variables(struct bytes *b, size_t at)
{
	int64_t n = take(&at);
	for (put_number(b, n); n > 0; n--) put_number(b, take(&at)), put_byte(b, plain(p.m.b[at++]));
	return at;
}
static void write_instruction(struct bytes *b, size_t *at)
{
	int64_t type = 0, n;
	size_t start = *at, operand = start + 1;
	int op = instruction(&p.m, at, &type);
	switch (op) {
	case BLOCK: case LOOP: case IF:
		push((struct frame){.label = depth, .pad = -1});
		open_block(b, op, operand, *at);
		return;
	case TRY: open_try(b, operand); return;
	case END: close_frame(b); return;
	case BRANCH: case BRANCH_IF: branch(b, op, label_of(take(&operand))); return;
	case BRANCH_TABLE:
		put_byte(b, op);
		for (put_number(b, n = take(&operand)); n >= 0; n--) put_number(b, depth - 1 - label_of(take(&operand)));
		return;
	case THROW: case THROW_REF: raise_it(b, op); return;
	case NULL_OF:
		if (p.m.b[operand] != EXNREF) break;
		put_byte(b, CONST), put_byte(b, 0);
		return;
	}
	put(b, p.m.b + start, *at - start);
	if ((op == CALL && throws[take(&operand)]) || (op == CALL_BY_POINTER && throws[pointer_of(type)])) get_flag(b), unwind(b, BRANCH_IF);
}
static void write_function(struct bytes *to, int64_t f, size_t at, size_t end)
{
	struct bytes b = {0};
	at = write_variables(&b, at);
	nframes = 0, depth = 1;
	push((struct frame){.pad = -1});
	if (throws[f]) put_byte(&b, BLOCK), put_byte(&b, EMPTY), depth++;
	while (at < end - 1) write_instruction(&b, &at);
	close_function(&b, f);
	put_number(to, b.n), put(to, b.b, b.n);
	free(b.b);
}

// each_function calls a function for each function of the program's own, with where it begins and ends.
static void each_function(struct section s, void do_it(void *with, int64_t f, size_t at, size_t end), void *with)
{
	int64_t n = take(&s.at);
	for (int64_t f = p.nimported; f < p.nimported + n; f++) {
		size_t end = take(&s.at);
		end += s.at;
		do_it(with, f, s.at, end);
		s.at = end;
	}
}
static void analyse_each(void *with, int64_t f, size_t at, size_t end) { (void)with, analyse_function(f, at, end); }
static void write_each(void *to, int64_t f, size_t at, size_t end) { write_function(to, f, at, end); }

static void write_program(struct bytes *to)
{
	struct section s;
	put(to, p.m.b, HEADER);
	for (size_t at = HEADER; section(&p.m, &at, &s);) {
		struct bytes b = {0};
		if (s.kind == GLOBALS) {
			static const uint8_t variable[] = {I32, 1, CONST, 0, END};
			put_number(&b, take(&s.at) + 1), put(&b, p.m.b + s.at, s.end - s.at), put(&b, variable, sizeof variable);
			put_section(to, GLOBALS, &b);
		} else if (s.kind == CODE) {
			put_number(&b, p.nfunctions - p.nimported), each_function(s, write_each, &b);
			put_section(to, CODE, &b);
		} else if (s.kind != TAGS) {
			put(to, p.m.b + s.start, s.end - s.start);
		}
	}
}

int lower_exceptions(const char *program)
{
	struct section s;
	int is = read_program(program, &p);
	if (is <= 0) return is ? perror(program), 1 : 0;
	if (!has_section(&p, TAGS, &s)) return 0;
	if (take(&s.at) != 1) fault("it has exceptions of several kinds");
	if (!has_section(&p, GLOBALS, &s)) fault("it has exceptions and no global variables");
	flag = take(&s.at);
	begin_analysis(), read_exports(), analyse_table();
	if (!has_section(&p, CODE, &s)) return 0;
	each_function(s, analyse_each, 0);
	if (catches) spread();
	else memset(throws, 0, p.nfunctions + p.ntypes);
	for (int64_t i = 0; i < p.ntypes; i++) // blocks can have types, too
		for (int64_t k = 0; k < p.types[i].nparams + p.types[i].nresults; k++) {
			uint8_t *t = &p.m.b[k < p.types[i].nparams ? p.types[i].params + k : p.types[i].results + k - p.types[i].nparams];
			*t = plain(*t);
		}
	struct bytes to = {0};
	write_program(&to);
	if (write_file(program, &to)) return perror(program), 1;
	return 0;
}
