package wasmrt

import (
	"errors"
	"strings"
	"testing"
)

// TestExceptionReferences has modules that throw. Those that take a reference to an exception are refused, however it is hidden between other instructions.
func TestExceptionReferences(t *testing.T) {
	block := func(between ...byte) []byte { // a block around a try whose handler takes a reference
		return append(between, 0x02, 0x69, 0x1f, 0x40, 1, 3, 0, 0x08, 0, 0x0b, 0x0b, 0x1a)
	}
	for name, c := range map[string]struct {
		code []byte
		want string // in the error; "" is none
	}{
		"catch":                            {[]byte{0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, 0x08, 0, 0x0b, 0x0b}, ""},
		"catch_all":                        {[]byte{0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0, 0x0b, 0x0b}, ""},
		"instructions of all kinds":        {[]byte{0x41, 1, 0x0e, 1, 0, 0, 0x41, 0, 0x41, 0, 0x41, 1, 0x1c, 1, 0x7f, 0x1a, 0x43, 0, 0, 0, 0, 0x1a, 0xd0, 0x70, 0x1a, 0x3f, 0, 0x1a}, ""},
		"catch_ref":                        {[]byte{0x02, 0x69, 0x1f, 0x40, 1, 1, 0, 0, 0x08, 0, 0x0b, 0x0b, 0x1a}, "references to exceptions"},
		"catch_all_ref":                    {block(), "references to exceptions"},
		"after a typed block":              {block(0x02, 0x7f, 0x41, 0, 0x0b, 0x1a), "references to exceptions"},
		"after a block of a reference":     {block(0x02, 0x63, 0x70, 0xd0, 0x70, 0x0b, 0x1a), "references to exceptions"},
		"… whose type is longer":           {block(0x02, 0xe3, 0x7f, 0x70, 0xd0, 0x70, 0x0b, 0x1a), "references to exceptions"},
		"… of a function of a type":        {block(0x02, 0x63, 0x1f, 0x00, 0x0b, 0x1a), "references to exceptions"},
		"after a constant of a vector":     {block(0xfd, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x44), "references to exceptions"},
		"after a long number of a vector":  {block(0xfd, 0x80, 0x01), "references to exceptions"},
		"after one that is read otherwise": {block(0xfd, 0x80, 0x00), "does not know"},
		"after one that does not exist":    {block(0x27), "does not know"},
		"cut off":                          {[]byte{0x44, 0}, "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asm{throws: true}
			a.op(c.code...)
			_, err := scanModule(a.module("x"))
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	plain := &asm{}
	plain.op(block()...)
	if _, err := scanModule(plain.module("x")); err != nil {
		t.Errorf("a module that throws nothing is refused: %v", err)
	}
	a := &asm{throws: true}
	a.op(block()...)
	if _, _, err := runAsm(t, &Host{}, a.module("x")); !errors.Is(err, errExceptionReference) && (err == nil || !strings.Contains(err.Error(), "references to exceptions")) {
		t.Errorf("it ran: %v", err)
	}
}
