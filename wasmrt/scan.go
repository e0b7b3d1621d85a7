package wasmrt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// moduleScan is the information that scanModule reads from a module before compilation.
type moduleScan struct {
	exports map[string]bool
	// golang says that Go compiled the program, so that the program resolves paths itself; see proc.dirAt.
	golang bool
	// dataFrom is the lowest address that the module initializes; 0 if that is not known.
	dataFrom uint32
	// beyondWASI says that the program imports something else than functions of WASI, or that its imports could not be read.
	beyondWASI bool
}

// posix reports whether the program is made for processes, with the C library of toolchain/posix: it finds no preopened directories, and may fork.
func (s *moduleScan) posix() bool { return s.exports["__nuka_posix"] }

// pure reports whether a program has no calls but those of WASI, so that a Memo may know what it does.
func (s *moduleScan) pure() bool { return s.exports["_start"] && !s.posix() && !s.beyondWASI }

var errNotWasm = errors.New("not a WebAssembly module")

// maxScanExports is how many exports a module may have for scanModule to read their names; only a few names matter.
const maxScanExports = 1 << 16

// scanModule reads the section headers and the names of the exports.
// It does not validate the module; compiling does.
func scanModule(code []byte) (moduleScan, error) {
	s := moduleScan{exports: map[string]bool{}}
	if len(code) < 8 || string(code[:4]) != "\x00asm" {
		return s, errNotWasm
	}
	if v := binary.LittleEndian.Uint32(code[4:]); v != 1 {
		if v == 0x1000d {
			return s, errors.New("a WebAssembly component; only core modules can be run")
		}
		return s, fmt.Errorf("WebAssembly version %d; only version 1 can be run", v)
	}
	b := code[8:]
	throws, functions := false, []byte(nil)
	for len(b) > 0 {
		id := b[0]
		n, k := binary.Uvarint(b[1:])
		if k <= 0 || n > uint64(len(b)-1-k) {
			return s, errors.New("truncated WebAssembly module")
		}
		body := b[1+k:][:n]
		b = b[1+k+int(n):]
		switch id {
		case 0:
			if name, ok := scanName(&body); ok && name == "go:buildid" {
				s.golang = true
			}
		case 2:
			s.beyondWASI = !onlyFunctions(body, "wasi_snapshot_preview1")
			throws = throws || !onlyFunctions(body, "") // it may import what it throws
		case 10:
			if functions != nil {
				return s, errors.New("two sections of code")
			}
			functions = body
		case 13:
			throws = true
		case 11:
			s.dataFrom = lowestData(body)
		case 7:
			count, k := binary.Uvarint(body)
			if k <= 0 || count > maxScanExports {
				continue
			}
			body = body[k:]
			for range count {
				name, ok := scanName(&body)
				if !ok || len(body) < 1 {
					break
				}
				s.exports[name] = true
				_, k := binary.Uvarint(body[1:])
				if k <= 0 {
					break
				}
				body = body[1+k:]
			}
		}
	}
	if throws && len(functions) > 0 {
		return s, checkExceptions(functions)
	}
	return s, nil
}

// onlyFunctions reports whether all entries of an import section are functions; of is the module that they are of, "" any.
func onlyFunctions(b []byte, of string) bool {
	count, k := binary.Uvarint(b)
	if k <= 0 {
		return false
	}
	b = b[k:]
	for range count {
		module, ok := scanName(&b)
		if !ok || of != "" && module != of {
			return false
		}
		if _, ok := scanName(&b); !ok || len(b) == 0 || b[0] != 0 {
			return false
		}
		_, k := binary.Uvarint(b[1:])
		if k <= 0 {
			return false
		}
		b = b[1+k:]
	}
	return true
}

func scanName(b *[]byte) (string, bool) {
	n, k := binary.Uvarint(*b)
	if k <= 0 || n > uint64(len(*b)-k) {
		return "", false
	}
	name := string((*b)[k:][:n])
	*b = (*b)[k+int(n):]
	return name, true
}

// lowestData returns the lowest address of the active segments of a data section, or 0 if it cannot tell.
func lowestData(b []byte) uint32 {
	lowest := uint32(0)
	number := func() (uint64, bool) {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return 0, false
		}
		b = b[k:]
		return n, true
	}
	count, ok := number()
	for ; ok && count > 0; count-- {
		var kind, size uint64
		if kind, ok = number(); !ok || kind > 1 { // another memory
			return 0
		}
		if kind == 0 {
			at, rest, known := constant(b)
			if !known {
				return 0
			}
			b = rest
			if lowest == 0 || at < lowest {
				lowest = at
			}
		}
		if size, ok = number(); !ok || size > uint64(len(b)) {
			return 0
		}
		b = b[size:]
	}
	if !ok {
		return 0
	}
	return lowest
}

// constant reads the expression i32.const n, and returns the bytes after it.
func constant(b []byte) (n uint32, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != 0x41 {
		return 0, nil, false
	}
	for i := 1; i < len(b) && i <= 5; i++ {
		n |= uint32(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			if i < 5 && b[i]&0x40 != 0 { // negative
				return 0, nil, false
			}
			return n, b[i+1:][min(1, len(b)-i-1):], i+1 < len(b) && b[i+1] == 0x0b
		}
	}
	return 0, nil, false
}
