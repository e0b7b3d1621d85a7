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
}

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
	return s, nil
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
