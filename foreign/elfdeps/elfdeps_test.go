package elfdeps

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A maker writes small ELF files: one loaded segment that is the whole file.
type maker struct {
	machine  elf.Machine
	interp   string
	needed   []string
	soname   string
	rpath    string
	runpath  string
	requires map[string]string // library to one version
	defines  []string
	note     string
}

func (m maker) bytes() []byte {
	le := binary.LittleEndian
	table := []byte{0}
	str := func(s string) uint64 { off := len(table); table = append(append(table, s...), 0); return uint64(off) }
	type entry struct{ tag, val uint64 }
	var dyn []entry
	for _, n := range m.needed {
		dyn = append(dyn, entry{uint64(elf.DT_NEEDED), str(n)})
	}
	for tag, s := range map[elf.DynTag]string{elf.DT_SONAME: m.soname, elf.DT_RPATH: m.rpath, elf.DT_RUNPATH: m.runpath} {
		if s != "" {
			dyn = append(dyn, entry{uint64(tag), str(s)})
		}
	}
	var need, def []byte
	n := 0
	for library, version := range m.requires {
		n++
		next := uint32(32)
		if n == len(m.requires) {
			next = 0
		}
		need = le.AppendUint16(need, 1)
		need = le.AppendUint16(need, 1)
		for _, v := range []uint32{uint32(str(library)), 16, next, 0, 0, uint32(str(version)), 0} {
			need = le.AppendUint32(need, v)
		}
	}
	for i, version := range m.defines {
		next := uint32(28)
		if i == len(m.defines)-1 {
			next = 0
		}
		for _, v := range []uint16{1, 0, uint16(i + 1), 1} {
			def = le.AppendUint16(def, v)
		}
		for _, v := range []uint32{0, 20, next, uint32(str(version)), 0} {
			def = le.AppendUint32(def, v)
		}
	}
	interp := []byte{}
	if m.interp != "" {
		interp = append([]byte(m.interp), 0)
	}
	var note []byte
	if m.note != "" {
		note = le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, 4), uint32(len(m.note)+1)), 0x407c0c0a)
		note = append(append(note, "FDO\x00"...), m.note...)
		for note = append(note, 0); len(note)%4 != 0; {
			note = append(note, 0)
		}
	}
	const phnum = 4
	at := uint64(64 + 56*phnum)
	place := func(b []byte) uint64 { p := at; at += uint64(len(b)); return p }
	pInterp, pNote, pTable, pNeed, pDef := place(interp), place(note), place(table), place(need), place(def)
	dyn = append(dyn, entry{uint64(elf.DT_STRTAB), pTable}, entry{uint64(elf.DT_STRSZ), uint64(len(table))})
	if len(need) > 0 {
		dyn = append(dyn, entry{uint64(elf.DT_VERNEED), pNeed}, entry{uint64(elf.DT_VERNEEDNUM), uint64(n)})
	}
	if len(def) > 0 {
		dyn = append(dyn, entry{uint64(elf.DT_VERDEF), pDef}, entry{uint64(elf.DT_VERDEFNUM), uint64(len(m.defines))})
	}
	var dynamic []byte
	for _, e := range append(dyn, entry{}) {
		dynamic = le.AppendUint64(le.AppendUint64(dynamic, e.tag), e.val)
	}
	pDyn := place(dynamic)
	var out bytes.Buffer
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	machine := m.machine
	if machine == 0 {
		machine = elf.EM_X86_64
	}
	le.PutUint16(head[16:], uint16(elf.ET_DYN))
	le.PutUint16(head[18:], uint16(machine))
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[54:], 56)
	le.PutUint16(head[56:], phnum)
	out.Write(head)
	for _, p := range []struct {
		kind      elf.ProgType
		off, size uint64
	}{{elf.PT_LOAD, 0, at}, {elf.PT_INTERP, pInterp, uint64(len(interp))}, {elf.PT_DYNAMIC, pDyn, uint64(len(dynamic))}, {elf.PT_NOTE, pNote, uint64(len(note))}} {
		kind := p.kind
		if p.size == 0 {
			kind = elf.PT_NULL
		}
		h := le.AppendUint32(le.AppendUint32(nil, uint32(kind)), 4)
		for _, v := range []uint64{p.off, p.off, p.off, p.size, p.size, 1} {
			h = le.AppendUint64(h, v)
		}
		out.Write(h)
	}
	for _, b := range [][]byte{interp, note, table, need, def, dynamic} {
		out.Write(b)
	}
	return out.Bytes()
}

func TestRead(t *testing.T) {
	m := maker{
		interp: "/lib64/ld-linux-x86-64.so.2", needed: []string{"libc.so.6", "libz.so.1"}, soname: "libown.so.1", runpath: "$ORIGIN/../lib:/opt/x",
		requires: map[string]string{"libc.so.6": "GLIBC_2.38"}, defines: []string{"libown.so.1", "OWN_1"},
		note: `[{"soname":["liblzma.so.5"],"feature":"xz","priority":"recommended"}]`,
	}
	b := m.bytes()
	got, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := &Binary{
		Machine: elf.EM_X86_64, Interpreter: m.interp, Dynamic: true, Soname: m.soname, Needed: m.needed, Runpath: []string{"$ORIGIN/../lib", "/opt/x"},
		Requires: map[string][]string{"libc.so.6": {"GLIBC_2.38"}}, Defines: m.defines,
		Optional: []Optional{{Sonames: []string{"liblzma.so.5"}, Feature: "xz", Priority: "recommended"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := Read(strings.NewReader("#!/bin/sh\n"), 10); !errors.Is(err, ErrNotELF) {
		t.Errorf("a script: got %v", err)
	}
	for n := range b { // half a file is an error or says less, and never more
		if cut, err := Read(bytes.NewReader(b[:n]), int64(n)); err == nil && len(cut.Needed) > len(m.needed) {
			t.Errorf("%d bytes: %v", n, cut.Needed)
		}
	}
}

func put(t *testing.T, dir, name string, m maker) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, m.bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestScan(t *testing.T) {
	base, app := t.TempDir(), t.TempDir()
	put(t, base, "usr/lib/x86_64-linux-gnu/libc.so.6", maker{soname: "libc.so.6", defines: []string{"libc.so.6", "GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_PRIVATE"}})
	put(t, base, "usr/lib/x86_64-linux-gnu/libz.so.1", maker{soname: "libz.so.1", needed: []string{"libc.so.6"}})
	put(t, base, "usr/lib64/ld-linux-x86-64.so.2", maker{soname: "ld-linux-x86-64.so.2"})
	put(t, base, "opt/own/libown.so", maker{machine: elf.EM_AARCH64})
	put(t, base, "opt/conf/libconf.so.1", maker{})
	if err := os.MkdirAll(filepath.Join(base, "etc/ld.so.conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "etc/ld.so.conf.d/own.conf"), []byte("# own\n/opt/conf\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"lib": "usr/lib", "lib64": "usr/lib64", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, app, "bin/prog", maker{
		interp: "/lib64/ld-linux-x86-64.so.2", runpath: "$ORIGIN/../lib:/opt/own", needed: []string{"libz.so.1", "libapp.so", "libgone.so.2", "libown.so", "libconf.so.1", "ld-linux-x86-64.so.2"},
		requires: map[string]string{"libc.so.6": "GLIBC_2.38"}, note: `[{"soname":["libextra.so.9"],"priority":"suggested"}]`,
	})
	put(t, app, "lib/libapp.so", maker{soname: "libapp.so", needed: []string{"libc.so.6", "libsub.so"}, requires: map[string]string{"libc.so.6": "GLIBC_2.38"}})
	put(t, app, "lib/libsub.so", maker{soname: "libsub.so"}) // found by the program's RUNPATH only, which does not count for others
	root := Tree{"/": base, "/app": app}
	s := NewScan(root, elf.EM_X86_64, nil)
	if err := s.Add("/app/bin/prog", false); err != nil {
		t.Fatal(err)
	}
	want := &Report{
		Missing: []Missing{{Soname: "libgone.so.2", By: "/app/bin/prog"}, {Soname: "libown.so", By: "/app/bin/prog"}, {Soname: "libextra.so.9", By: "/app/bin/prog", Optional: true},
			{Soname: "libsub.so", By: "/app/lib/libapp.so"}},
		TooOld: []TooOld{{Soname: "libc.so.6", Path: "/usr/lib/x86_64-linux-gnu/libc.so.6", Version: "GLIBC_2.38", Newest: "GLIBC_2.36", By: "/app/lib/libapp.so"}},
	}
	if d := cmp.Diff(want, s.Report()); d != "" {
		t.Error(d)
	}
	if err := NewScan(root, elf.EM_X86_64, nil).Add("/loop", false); err == nil {
		t.Error("a link to itself: no error")
	}
	// A RPATH counts for the libraries of a program too, and LD_LIBRARY_PATH comes before the system's folders.
	put(t, app, "bin/rpath", maker{interp: "/lib64/ld.so", rpath: "$ORIGIN/../lib", needed: []string{"libapp.so"}})
	s = NewScan(root, elf.EM_X86_64, nil)
	if err := s.Add("/app/bin/rpath", false); err != nil {
		t.Fatal(err)
	}
	if r := s.Report(); len(r.Missing) != 0 || r.Interpreter != "/lib64/ld.so" {
		t.Errorf("with a RPATH: %+v", r)
	}
	put(t, app, "bin/arm", maker{machine: elf.EM_AARCH64})
	s = NewScan(root, elf.EM_X86_64, nil)
	if err := s.Add("/app/bin/arm", false); err != nil || s.Report().Foreign != "/app/bin/arm" {
		t.Errorf("a program for another machine: %v %+v", err, s.Report())
	}
}

// TestLdd compares what a Scan finds with what the loader of this machine says, for each program of /usr/bin.
func TestLdd(t *testing.T) {
	ldd, err := exec.LookPath("ldd")
	if err != nil {
		t.Skip("no ldd")
	}
	names, err := filepath.Glob("/usr/bin/*")
	if err != nil {
		t.Fatal(err)
	}
	root, compared := Tree{"/": "/"}, 0
	for _, name := range names {
		_, b, err := ReadFile(root, name)
		if err != nil || b.Interpreter == "" || compared == 60 && os.Getenv("NUKA_LONG") == "" {
			continue
		}
		if name, _, err = Resolve(root, name); err != nil { // as the kernel does before $ORIGIN is known; ldd does not
			t.Fatal(err)
		}
		out, err := exec.Command(ldd, name).Output()
		if err != nil {
			continue
		}
		compared++
		s := NewScan(root, b.Machine, nil)
		if err := s.Add(name, false); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for line := range strings.Lines(string(out)) {
			if _, to, ok := strings.Cut(line, " => /"); ok {
				at, _, _ := strings.Cut(to, " (")
				if at, _, err = Resolve(root, "/"+at); err != nil {
					t.Fatal(err)
				}
				want = append(want, at)
			}
		}
		for _, f := range s.files {
			if f != nil && !slices.Contains(got, f.at) {
				got = append(got, f.at)
			}
		}
		got = slices.DeleteFunc(got, func(at string) bool { return at == name })
		slices.Sort(want)
		slices.Sort(got)
		if d := cmp.Diff(slices.Compact(want), got); d != "" || len(s.Report().Missing) > 0 {
			t.Errorf("%s: ldd -, scan +:\n%s%+v", name, d, s.Report().Missing)
		}
	}
	t.Logf("%d programs are as ldd says", compared)
}

func TestMembers(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "cv2/cv2.abi3.so", maker{needed: []string{"libown-1.so"}})
	put(t, dir, "cv2/plugin.so", maker{})
	put(t, dir, "cv2.libs/libown-1.so", maker{soname: "libown-1.so"})
	put(t, dir, "bin/tool", maker{interp: "/lib64/ld.so"})
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("text", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := map[string]Role{}
	members, err := Members(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		got[m.Path] = m.Role
	}
	want := map[string]Role{"cv2/cv2.abi3.so": Module, "cv2/plugin.so": Plugin, "cv2.libs/libown-1.so": Library, "bin/tool": Program}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFamily(t *testing.T) {
	for name, want := range map[string]string{
		"libQt63DInput.so.6": "libQt6", "libQt6WebEngineCore.so.6": "libQt6", "libQt5Core.so.5": "libQt5", "libGL.so.1": "libGL", "libcrypto.so.3": "libcrypto",
		"libcrypto-1a2b3c.so.1.1": "libcrypto", "libstdc++.so.6": "libstdc", "libX11.so.6": "libX11", "libavcodec.so.59": "libavcodec",
	} {
		if got := Family(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if !Driver("libcuda.so.1") || !Driver("libGLX_nvidia.so.0") || Driver("libGL.so.1") {
		t.Error("drivers are not told from libraries")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(maker{interp: "/lib64/ld.so", needed: []string{"liba.so"}, soname: "x", runpath: "$ORIGIN", requires: map[string]string{"liba.so": "A_1"}, defines: []string{"B_1"}, note: `[{"soname":["a"]}]`}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(bytes.NewReader(b), int64(len(b)))
		if err == nil && len(got.Needed)+len(got.Defines) > 2*maxNames {
			t.Errorf("%d names", len(got.Needed)+len(got.Defines))
		}
	})
}

func BenchmarkMembers(b *testing.B) {
	n := 0
	for b.Loop() {
		members, err := Members("/usr/lib", nil)
		if err != nil {
			b.Fatal(err)
		}
		n = len(members)
	}
	b.ReportMetric(float64(n), "files")
}
