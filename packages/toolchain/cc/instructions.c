// The instructions of WebAssembly, as far as their lengths.
#include "wasm.h"

static void skip(const struct bytes *m, size_t *at)
{
	while (m->b[(*at)++] & 0x80) {}
}
// memory skips the alignment and the offset of an instruction that reads or writes memory.
static void memory(const struct bytes *m, size_t *at) { skip(m, at), skip(m, at); }

// extended skips what follows the first byte of an instruction of two.
static void extended(const struct bytes *m, int first, size_t *at)
{
	static const char operands[] = {0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1};
	int64_t op = take_number(m, at);
	if (first == 0xfc) {
		if (op >= (int64_t)sizeof operands) fault("an unknown instruction");
		for (int i = 0; i < operands[op]; i++) skip(m, at);
	} else if (op <= 11 || op == 92 || op == 93) {
		memory(m, at);
	} else if (op == 12 || op == 13) {
		*at += 16;
	} else if (op >= 21 && op <= 34) {
		*at += 1;
	} else if (op >= 84 && op <= 91) {
		memory(m, at), *at += 1;
	}
}

int instruction(const struct bytes *m, size_t *at, int64_t *type)
{
	int op = m->b[(*at)++];
	switch (op) {
	case 0x02: case 0x03: case 0x04: case 0x0c: case 0x0d: case 0x10: case 0x20: case 0x21: case 0x22: case 0x23: case 0x24: case 0x25: case 0x26:
	case 0x3f: case 0x40: case 0x41: case 0x42: case 0xd0: case 0xd2: skip(m, at); break;
	case 0x0e:
		for (int64_t n = take_number(m, at) + 1; n > 0; n--) skip(m, at);
		break;
	case 0x11:
		*type = take_number(m, at);
		skip(m, at);
		break;
	case 0x1c: *at += take_number(m, at); break;
	case 0x43: *at += 4; break;
	case 0x44: *at += 8; break;
	case 0xfc: case 0xfd: extended(m, op, at); break;
	case THROW: skip(m, at); break;
	case TRY:
		skip(m, at);
		for (int64_t n = take_number(m, at); n > 0; n--) {
			if (m->b[(*at)++] <= CATCH_REF) skip(m, at);
			skip(m, at);
		}
		break;
	case 0x06: case 0x07: case 0x09: case 0x12: case 0x13: case 0x14: case 0x15: case 0x18: case 0x19: case 0xfe:
		fault("an instruction that it does not know: an old kind of exception, a call at the end of a function or a lock");
	default:
		if (op >= 0x28 && op <= 0x3e) memory(m, at);
	}
	return op;
}

size_t body(const struct bytes *m, size_t at)
{
	for (int64_t n = take_number(m, &at); n > 0; n--) skip(m, &at), at++;
	return at;
}
