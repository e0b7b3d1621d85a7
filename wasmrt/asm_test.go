package wasmrt

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"testing"
)

// asm assembles the program of a test: a module for a kernel with one page of memory, whose _start is the code, with eight local variables of 32 bits.
// Programs of clang or Go would be too large to be forked a thousand times.
type asm struct {
	code    []byte
	imports []hostFunc
	results []string
	throws  bool // the module has a tag for exceptions
}

// imported are the calls that programs of asm may use, by name, with their parameters and results.
var imported = func() map[string][3]string {
	out := map[string][3]string{
		"fork": {"nuka", "", "i"}, "exec2": {"nuka", "iiiiii", "i"}, "spawn": {"nuka", "iiiiiiiiii", "i"}, "exit2": {"nuka", "i", ""},
		"setjmp": {"nuka", "i", "i"}, "longjmp": {"nuka", "ii", ""}, "signals": {"nuka", "iI", "I"}, "exec": {"nuka", "iiiiiiii", "i"},
		"host": {"nuka", "ii", "I"}, "proc_exit": {"wasi_snapshot_preview1", "i", ""},
	}
	for _, c := range wasiCalls {
		out[c.name] = [3]string{"wasi_snapshot_preview1", c.params, "i"}
	}
	return out
}()

func init() {
	for _, c := range kernelCalls {
		imported[c.name] = [3]string{"nuka", c.params, "i"}
	}
}

func (a *asm) op(b ...byte) *asm {
	a.code = append(a.code, b...)
	return a
}

func (a *asm) signed(n int64) *asm {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return a.op(b)
		}
		a.op(b | 0x80)
	}
}

func (a *asm) unsigned(n int) *asm {
	a.code = binary.AppendUvarint(a.code, uint64(n))
	return a
}

func (a *asm) i32(n int32) *asm { return a.op(0x41).signed(int64(n)) }
func (a *asm) i64(n int64) *asm { return a.op(0x42).signed(n) }
func (a *asm) get(v int) *asm   { return a.op(0x20).unsigned(v) }
func (a *asm) set(v int) *asm   { return a.op(0x21).unsigned(v) }
func (a *asm) drop() *asm       { return a.op(0x1a) }

// add adds a number to a variable.
func (a *asm) add(v int, n int32) *asm { return a.get(v).i32(n).op(0x6a).set(v) }

// call calls an import; the arguments are on the stack.
func (a *asm) call(name string) *asm {
	i := slices.IndexFunc(a.imports, func(f hostFunc) bool { return f.name == name })
	if i < 0 {
		i = len(a.imports)
		a.imports = append(a.imports, hostFunc{name: name, params: imported[name][1]})
		a.results = append(a.results, imported[name][2])
	}
	return a.op(0x10).unsigned(i)
}

// loop repeats a body for ever.
func (a *asm) loop(body func()) *asm {
	a.op(0x03, 0x40)
	body()
	return a.op(0x0c, 0, 0x0b)
}

// when runs a body if the number on the stack is not 0.
func (a *asm) when(body func()) *asm {
	a.op(0x04, 0x40)
	body()
	return a.op(0x0b)
}

// exit ends the process with the code on the stack.
func (a *asm) exit() *asm { return a.i32(8).op(0x74).call("exit2") }

// module returns the program. The first page of memory begins with data.
func (a *asm) module(data string) []byte {
	types, sections := [][2]string{}, bytes.Buffer{}
	typeOf := func(params, results string) int {
		t := [2]string{params, results}
		if i := slices.Index(types, t); i >= 0 {
			return i
		}
		types = append(types, t)
		return len(types) - 1
	}
	var imports, body asm
	for i, f := range a.imports {
		imports.text(imported[f.name][0]).text(f.name).op(0).unsigned(typeOf(f.params, a.results[i]))
	}
	start := typeOf("", "")
	body.op(1, 8, 0x7f).op(a.code...).op(0x0b)
	var list asm
	list.unsigned(len(types))
	for _, t := range types {
		list.op(0x60)
		for _, letters := range t {
			list.unsigned(len(letters))
			for _, l := range letters {
				list.op(map[rune]byte{'i': 0x7f, 'I': 0x7e}[l])
			}
		}
	}
	n := len(a.imports)
	section := func(id byte, b []byte) {
		sections.WriteByte(id)
		sections.Write(binary.AppendUvarint(nil, uint64(len(b))))
		sections.Write(b)
	}
	sections.WriteString("\x00asm\x01\x00\x00\x00")
	section(1, list.code)
	section(2, append(binary.AppendUvarint(nil, uint64(n)), imports.code...))
	section(3, (&asm{}).unsigned(1).unsigned(start).code)
	section(5, (&asm{}).op(1, 1, 1, 16).code)
	if a.throws {
		section(13, (&asm{}).op(1, 0).unsigned(start).code)
	}
	section(7, (&asm{}).op(3).text("_start").op(0).unsigned(n).text("__nuka_posix").op(0).unsigned(n).text("memory").op(2, 0).code)
	section(10, append((&asm{}).op(1).unsigned(len(body.code)).code, body.code...))
	section(11, (&asm{}).op(1, 0).i32(0).op(0x0b).text(data).code)
	return sections.Bytes()
}

func (a *asm) text(s string) *asm { return a.unsigned(len(s)).op([]byte(s)...) }

// runAsm runs a program as /p/bin/it on a file system with a directory at /d, and returns its standard output.
func runAsm(t testing.TB, h *Host, code []byte) (exit int, out string, err error) {
	t.Helper()
	ctx := t.Context()
	if h.Runtime == nil {
		rt, err := New(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rt.Close(context.Background()) })
		h.Runtime = rt
	}
	if h.FS == nil {
		asmFiles(t, h, code)
	}
	var buf bytes.Buffer
	exit, err = h.Exec(ctx, &Command{Args: []string{"it"}, Dir: "/d", Env: []string{}, Stdout: &buf, Stderr: &buf})
	return exit, buf.String(), err
}

func asmFiles(t testing.TB, h *Host, code []byte) {
	tree, err := NewTree(slices.Values([]Entry{{Path: "bin/it", Kind: KindFile, Exec: true, Data: code}}))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := OpenDir(t.TempDir(), &DirOptions{MaxFiles: 1000, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	h.Path = []string{"/p/bin"}
	if h.FS, err = NewFS(Mount{Path: "/p", Tree: tree}, Mount{Path: "/d", Dir: dir}); err != nil {
		t.Fatal(err)
	}
}
