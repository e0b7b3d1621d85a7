package wasmrt

import (
	"encoding/binary"
	"errors"
)

// errExceptionReference says why a module is refused. wazero gives a program the address of an exception, and keeps in memory only the exception that was caught last: with an older
// one, a program could read what the host has put into its place.
var errExceptionReference = errors.New("it takes references to exceptions (catch_ref or catch_all_ref), which nuka does not allow: compile it without exceptions, or with the package toolchain/cxx")

// checkExceptions returns an error if a function takes a reference to an exception, or has an instruction that this function does not know. code is a code section
// of a module that throws.
func checkExceptions(code []byte) error {
	c := &codeReader{b: code}
	for n := c.number(); n > 0 && !c.bad; n-- {
		size := c.number()
		if size > uint64(len(c.b)) {
			c.bad = true
			break
		}
		body := &codeReader{b: c.b[:size]}
		c.b = c.b[size:]
		for groups := body.number(); groups > 0 && !body.bad; groups-- {
			body.number()
			body.valueType()
		}
		for len(body.b) > 0 && !body.bad && !body.reference {
			body.instruction()
		}
		c.bad, c.reference = c.bad || body.bad, c.reference || body.reference
	}
	switch {
	case c.reference:
		return errExceptionReference
	case c.bad:
		return errors.New("it throws exceptions, and has an instruction that nuka does not know")
	}
	return nil
}

// A codeReader reads instructions, as far as their lengths (WebAssembly Core Specification 3.0, section 5.4).
type codeReader struct {
	b         []byte
	bad       bool // something is unknown or cut off
	reference bool // a handler takes a reference
}

func (c *codeReader) skip(n int) {
	if n > len(c.b) {
		c.b, c.bad = nil, true
		return
	}
	c.b = c.b[n:]
}

func (c *codeReader) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	first := c.b[0]
	c.b = c.b[1:]
	return first
}

func (c *codeReader) number() uint64 {
	n, k := binary.Uvarint(c.b)
	if k <= 0 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[k:]
	return n
}

// numbers skips integers, signed ones too.
func (c *codeReader) numbers(n int) {
	for ; n > 0 && !c.bad; n-- {
		for c.byte()&0x80 != 0 && !c.bad {
		}
	}
}

// valueType skips a type: a byte, or the kind of a reference and what it refers to.
func (c *codeReader) valueType() {
	if first := c.byte(); first == 0x63 || first == 0x64 {
		c.numbers(1)
	}
}

// blockType skips the type of a block: a signed number of 33 bits, and what it refers to if it is a reference.
func (c *codeReader) blockType() {
	n, shift := int64(0), 0
	for {
		b := c.byte()
		if c.bad || shift > 28 {
			c.bad = true
			return
		}
		n |= int64(b&0x7f) << shift
		if shift += 7; b&0x80 == 0 {
			n = n << (64 - shift) >> (64 - shift) // its sign
			break
		}
	}
	if n == -29 || n == -28 { // (ref null …) and (ref …)
		c.numbers(1)
	}
}

func (c *codeReader) instruction() {
	switch op := c.byte(); {
	case op == 0x02 || op == 0x03 || op == 0x04: // block, loop, if
		c.blockType()
	case op == 0x1f: // try_table
		c.blockType()
		for n := c.number(); n > 0 && !c.bad; n-- {
			switch c.byte() {
			case 0: // catch
				c.numbers(2)
			case 2: // catch_all
				c.numbers(1)
			case 1, 3:
				c.reference = true
				return
			default:
				c.bad = true
			}
		}
	case op == 0x0e: // br_table
		for n := c.number() + 1; n > 0 && !c.bad; n-- {
			c.numbers(1)
		}
	case op == 0x1c: // select with types
		for n := c.number(); n > 0 && !c.bad; n-- {
			c.valueType()
		}
	case op == 0x11 || op == 0x13: // call_indirect, return_call_indirect
		c.numbers(2)
	case op == 0x08 || op == 0x0c || op == 0x0d || op == 0x10 || op == 0x12 || op == 0x14 || op == 0x15 || op >= 0x20 && op <= 0x26 || op >= 0x3f && op <= 0x42 || op == 0xd0 || op == 0xd2 || op == 0xd5 || op == 0xd6:
		c.numbers(1)
	case op >= 0x28 && op <= 0x3e: // loads and stores
		c.numbers(2)
	case op == 0x43:
		c.skip(4)
	case op == 0x44:
		c.skip(8)
	case op == 0xfc:
		c.misc()
	case op == 0xfd:
		c.vector()
	case op <= 0x01 || op == 0x05 || op == 0x0a || op == 0x0b || op == 0x0f || op == 0x1a || op == 0x1b || op >= 0x45 && op <= 0xc4 || op == 0xd1 || op == 0xd3 || op == 0xd4:
	default:
		c.bad = true
	}
}

// misc skips the rest of an instruction that begins with 0xfc: a conversion, or one of memories and tables.
func (c *codeReader) misc() {
	operands := []int{8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}
	op := c.number()
	if op >= uint64(len(operands)) {
		c.bad = true
		return
	}
	c.numbers(operands[op])
}

// vector skips the rest of an instruction that begins with 0xfd. wazero reads one byte for its number, and takes the second one of a greater number, 1, for the instruction nop.
func (c *codeReader) vector() {
	switch op := c.byte(); {
	case op >= 0x80:
		if c.byte() != 1 {
			c.bad = true
		}
	case op <= 11 || op == 92 || op == 93:
		c.numbers(2)
	case op == 12 || op == 13:
		c.skip(16)
	case op >= 21 && op <= 34:
		c.skip(1)
	case op >= 84 && op <= 91:
		c.numbers(2)
		c.skip(1)
	}
}
