package foreign

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/foreign/elfdeps"
)

// An object is a small ELF file: one loaded segment that is the whole file, and its dynamic section.
type object struct {
	machine         elf.Machine
	interp, runpath string
	needed          []string
}

func (o object) bytes() []byte {
	le := binary.LittleEndian
	table := []byte{0}
	var dyn []byte
	entry := func(tag elf.DynTag, v uint64) { dyn = le.AppendUint64(le.AppendUint64(dyn, uint64(tag)), v) }
	text := func(tag elf.DynTag, s string) {
		entry(tag, uint64(len(table)))
		table = append(append(table, s...), 0)
	}
	for _, n := range o.needed {
		text(elf.DT_NEEDED, n)
	}
	if o.runpath != "" {
		text(elf.DT_RUNPATH, o.runpath)
	}
	const phnum, start = 3, 64 + 3*56
	entry(elf.DT_STRTAB, start)
	entry(elf.DT_STRSZ, uint64(len(table)))
	entry(elf.DT_NULL, 0)
	interp := append([]byte(o.interp), 0)
	machine := o.machine
	if machine == 0 {
		machine = Machine()
	}
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	le.PutUint16(head[16:], uint16(elf.ET_DYN))
	le.PutUint16(head[18:], uint16(machine))
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[54:], 56)
	le.PutUint16(head[56:], phnum)
	kind := elf.PT_INTERP
	if o.interp == "" {
		kind = elf.PT_NULL
	}
	for _, p := range []struct {
		kind      elf.ProgType
		off, size int
	}{
		{elf.PT_LOAD, 0, start + len(table) + len(dyn) + len(interp)}, {elf.PT_DYNAMIC, start + len(table), len(dyn)}, {kind, start + len(table) + len(dyn), len(interp)},
	} {
		head = le.AppendUint32(le.AppendUint32(head, uint32(p.kind)), 4)
		for _, v := range []int{p.off, p.off, p.off, p.size, p.size, 1} {
			head = le.AppendUint64(head, uint64(v))
		}
	}
	return bytes.Join([][]byte{head, table, dyn, interp}, nil)
}

func writeAll(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNeedsOfParts looks for what the files of a package need: what the package bundles or the runtime has counts as found, plugins and tests may lack libraries,
// and a family that the package bundles is never taken from elsewhere.
func TestNeedsOfParts(t *testing.T) {
	multiarch := elfdeps.Multiarch(Machine())
	runtime, pkg := t.TempDir(), t.TempDir()
	loader := "/lib64/ld.so"
	writeAll(t, runtime, map[string][]byte{
		"lib64/ld.so": object{}.bytes(), "usr/lib/" + multiarch + "/libc.so.6": object{}.bytes(),
		"usr/lib/" + multiarch + "/libssl.so.3": object{needed: []string{"libdeep.so.1"}}.bytes(),
	})
	site := "lib/python3.13/site-packages/"
	files := map[string][]byte{
		site + "foo/_c.cpython-313-x86_64-linux-gnu.so": object{runpath: "$ORIGIN/../foo.libs",
			needed: []string{"libbundled-ab12.so.1", "libcairo.so.2", "libc.so.6", "libssl.so.3", "libcuda.so.1", "libQt6WebEngineCore.so.6"}}.bytes(),
		site + "foo.libs/libbundled-ab12.so.1": object{needed: []string{"libx.so.6"}}.bytes(),
		site + "foo.libs/libQt6Core.so.6":      object{}.bytes(),
		site + "foo/plugins/libqgtk.so":        object{needed: []string{"libgtk-3.so.0"}}.bytes(),
		site + "torch/bin/test_api":            object{interp: loader, needed: []string{"libgtest.so.1"}}.bytes(),
		site + "foo/arm.node":                  object{machine: elf.EM_S390, needed: []string{"libarm.so.1"}}.bytes(),
		"bin/tool":                             object{interp: loader, needed: []string{"libtool.so.1"}}.bytes(),
		"bin/script":                           []byte("#!/bin/sh\n"),
		"lib/torn.so":                          object{}.bytes()[:100],
	}
	writeAll(t, pkg, files)
	root := elfdeps.Tree{"/usr": filepath.Join(runtime, "usr"), "/lib64": filepath.Join(runtime, "lib64"), "/nuka/store/p": pkg}
	got := func() map[string]bool {
		t.Helper()
		r, err := NeedsOfParts(root, []Part{{Dir: pkg, Inside: "/nuka/store/p", Own: true}})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, m := range r.Missing {
			out[m.Soname] = !m.Optional
		}
		return out
	}
	want := map[string]bool{
		"libcairo.so.2": true, "libx.so.6": true, "libtool.so.1": true, "libdeep.so.1": true, "libcuda.so.1": true,
		"libgtk-3.so.0": false, "libgtest.so.1": false, "libQt6WebEngineCore.so.6": false,
	}
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Error(diff)
	}
	more := map[string][]byte{}
	for name := range maps.Keys(want) {
		more["usr/lib/"+multiarch+"/"+name] = object{}.bytes()
	}
	writeAll(t, runtime, more)
	if left := got(); len(left) > 0 {
		t.Errorf("with all libraries: %v", left)
	}
	if err := os.RemoveAll(filepath.Join(pkg, site, "foo.libs")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"libbundled-ab12.so.1": true}, got()); diff != "" {
		t.Errorf("without the bundled libraries: %s", diff)
	}
}
