package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// TestAccepted unpacks archives that tar accepts. Each row gives the tree that GNU tar makes, without the entries that a tree cannot hold.
func TestAccepted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("some of these names are for Linux only; TestObstacles is about that")
	}
	mode := func(name string, mode int64) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}, "x"}
	}
	for name, tt := range map[string]struct {
		entries []entry
		want    map[string]string
	}{
		"setuid, setgid, sticky": {[]entry{mode("u", 0o4755), mode("g", 0o2644), mode("s", 0o1777)}, map[string]string{"u": "x (x)", "g": "x", "s": "x (x)"}},
		"case":                   {[]entry{file("README", "1"), file("readme", "2"), file("Lib/a", ""), file("lib/a", "")}, map[string]string{"README": "1", "readme": "2", "Lib": "dir", "lib": "dir", "Lib/a": "", "lib/a": ""}},
		"composition":            {[]entry{file("\u00e9", "1"), file("e\u0301", "2")}, map[string]string{"\u00e9": "1", "e\u0301": "2"}},
		"odd names":              {[]entry{file(`a\x2d`, "1"), file("aux", "2"), file("a\x1b[2J", "3"), file("gpj\u202eexe.", "4")}, map[string]string{`a\x2d`: "1", "aux": "2", "a\x1b[2J": "3", "gpj\u202eexe.": "4"}},
		"backslash is no slash":  {[]entry{file(`..\canary`, "x")}, map[string]string{`..\canary`: "x"}},
		"absolute name":          {[]entry{file("/tmp/x", "x")}, map[string]string{"tmp": "dir", "tmp/x": "x"}},
		"not utf-8":              {[]entry{file("caf\xe9", "x"), special("l", tar.TypeSymlink, "d/caf\xe9")}, map[string]string{"caf\u00e9": "x", "l": "-> d/caf\u00e9"}},
		"not utf-8 twice":        {[]entry{file("caf\xe9", "x"), file("caf\xe9", "y")}, map[string]string{"caf\u00e9": "y"}},
		"file twice":             {[]entry{file("a", "long"), mode("a", 0o755)}, map[string]string{"a": "x (x)"}},
		"executable, then not":   {[]entry{mode("a", 0o755), file("a", "2")}, map[string]string{"a": "2"}},
		"link, then file":        {[]entry{special("a", tar.TypeSymlink, "../canary"), file("a", "2")}, map[string]string{"a": "2"}},
		"file, then link":        {[]entry{file("a", "1"), special("a", tar.TypeSymlink, "b")}, map[string]string{"a": "-> b"}},
		"link twice":             {[]entry{special("a", tar.TypeSymlink, "b"), special("a", tar.TypeSymlink, "c")}, map[string]string{"a": "-> c"}},
		"links as they are": {[]entry{special("a", tar.TypeSymlink, "/etc/passwd"), special("b", tar.TypeSymlink, "../../x"), special("c", tar.TypeSymlink, "b/../x"), special("d", tar.TypeSymlink, "d")},
			map[string]string{"a": "-> /etc/passwd", "b": "-> ../../x", "c": "-> b/../x", "d": "-> d"}},
		"hard link to itself":   {[]entry{file("a", "1"), special("a", tar.TypeLink, "a")}, map[string]string{"a": "1"}},
		"hard link to a link":   {[]entry{special("a", tar.TypeSymlink, "../x"), special("b", tar.TypeLink, "a")}, map[string]string{"a": "-> ../x", "b": "-> ../x"}},
		"hard link, then other": {[]entry{file("a", "1"), special("b", tar.TypeLink, "a"), file("a", "2")}, map[string]string{"a": "2", "b": "1"}},
		"hard link twice":       {[]entry{file("a", "1"), file("b", "2"), special("b", tar.TypeLink, "a")}, map[string]string{"a": "1", "b": "1"}},
		"absolute hard link":    {[]entry{file("/a", "1"), special("/b", tar.TypeLink, "/a")}, map[string]string{"a": "1", "b": "1"}},
		"devices":               {[]entry{file("a", "1"), special("c", tar.TypeChar, ""), special("b", tar.TypeBlock, ""), special("p", tar.TypeFifo, ""), special("q", tar.TypeLink, "p")}, map[string]string{"a": "1"}},
		"device over a file":    {[]entry{file("a", "1"), file("b", "2"), special("a", tar.TypeFifo, "")}, map[string]string{"b": "2"}},
		"folder twice":          {[]entry{special("d/", tar.TypeDir, ""), file("d/a", ""), special("d/", tar.TypeDir, "")}, map[string]string{"d": "dir", "d/a": ""}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			got, err := unpackIn(t, makeTar(t, tt.entries...), nil)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

// TestRealFormats unpacks files written by tar, npm, git, xz, zstd, bzip2 and Python, of kinds that an earlier version refused.
func TestRealFormats(t *testing.T) {
	one := map[string]string{"p": "dir", "p/a": "a\n"}
	sparse := make([]byte, 1_000_000)
	copy(sparse[500_000:], "middle")
	copy(sparse[900_000:], "end")
	holes := map[string]string{"p": "dir", "p/a": "a\n", "p/sparse": digest(sparse)}
	program := map[string]string{"p": "dir", "p/bin": "2cf92984d6db709abafc9808b33426d7161cc7ed4a00cf90cd40dc9ee8b8bc69"}
	for name, want := range map[string]map[string]string{
		"alone.tar.lzma": one, "streams.tar.gz": one, "streams.tar.xz": one, "streams.tar.bz2": one, "streams.tar.zst": one,
		"bcj.tar.xz": program, "delta.tar.xz": program,
		"sparse-pax-0.0.tar.gz": holes, "sparse-pax-0.1.tar.gz": holes, "sparse-pax-1.0.tar.gz": holes,
		"sparse-gnu.tar.gz": {"p": "dir", "p/a": "x", "p/sparse": "bb8f1a8df3b2f00b949de07340d30baa24a00e952ae1cb2386b45ac54f17f60a"},
		"v7.tar.gz":         {"p": "dir", "p/a.txt": "hello\n", "p/b.sh": "#!/bin/sh\n (x)"},
		"latin1.tar.gz":     {"p": "dir", "p/caf\u00e9": "x"},
		"self-link.tar.gz":  {"p": "dir", "p/a": "one"},
		"gz-zeros.tar.gz":   {"p": "dir", "p/a.txt": "hello\n", "p/b.sh": "#!/bin/sh\n (x)"},
		"zip64.zip":         one, "bzip2-comment.zip": one, "streamed.zip": one, "self-extractor.zip": one,
		"modes.zip":        {"p": "dir", "p/x": "#!2 (x)", "p/l": "-> /usr/x", "P": "dir", "P/X": ""},
		"unicode-path.zip": {"caf\u00e9\u20ac.txt": "u"},
		"cp437.zip":        {"p": "dir", "p/caf\u00e9.txt": "x"},
		"git-archive.zip":  {"p": "dir", "p/f": "x\n"},
		"pax-size-npm.tgz": {
			"package": "dir", "package/d": "dir", "package/d/" + strings.Repeat("a", 120) + ".txt": "long\n", "package/d/\u00e9.txt": "hi\n",
			"package/package.json": `{"name":"hn","version":"1.0.0"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			archive, err := os.ReadFile(filepath.Join("testdata/real", name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := unpackIn(t, archive, nil)
			for p, body := range got {
				if len(body) > 1000 {
					got[p] = digest([]byte(strings.TrimSuffix(body, " (x)")))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// TestPAXSize has a size that only the PAX record gives correctly; tar and bsdtar use it. Readers of the other size were vulnerable: CVE-2025-62518.
func TestPAXSize(t *testing.T) {
	got, err := unpackIn(t, withPAXSize(t), nil)
	if diff := cmp.Diff(map[string]string{"two-sizes": "1234"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestManyFiles has more entries than a zip without zip64 can count.
func TestManyFiles(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 65_600 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sink := &cancelSink{cancel: func() {}}
	u, err := Unpack(context.Background(), bytes.NewReader(b.Bytes()), int64(b.Len()), sink, nil)
	if err != nil || u.Omitted != 0 || sink.created != 65_600 {
		t.Errorf("got %d files, %+v, %v", sink.created, u, err)
	}
}

// TestZipNames has names in the encodings of a zip, and a backslash as each system writes it.
func TestZipNames(t *testing.T) {
	made := func(host uint16, flags uint16, name string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		_, err := w.CreateRaw(&zip.FileHeader{Name: name, CreatorVersion: host << 8, Flags: flags})
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"flag":             {made(0, zipUTF8, "\u00e9"), "\u00e9"},
		"CP437":            {made(0, 0, "\x82"), "\u00e9"},
		"unix, UTF-8":      {made(3, 0, "\u00e9"), "\u00e9"},
		"unix, not UTF-8":  {made(3, 0, "\x82"), "\u00e9"},
		"absolute":         {made(3, 0, "/a"), "a"},
		"unix, backslash":  {made(3, 0, `a\b`), `a\b`},
		"both":             {made(0, 0, `a\b/c`), `a\b/c`},
		"DOS, backslash":   {made(0, 0, `a\b`), ""},
		"flag, not UTF-8":  {made(0, zipUTF8, "\x82"), ""},
		"unix, zero byte":  {made(3, 0, "a\x00b"), ""},
		"unix, CP437 dots": {made(0, 0, "../\x82"), ""},
	} {
		got, err := unpackIn(t, tt.archive, nil)
		_, made := got[tt.want]
		if tt.want == "" && err == nil || tt.want != "" && (err != nil || !made) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

// TestResult checks what a Result reports: entries that were left out, and names that prevent a checkout.
func TestResult(t *testing.T) {
	archive := makeTar(t, file("p/Makefile", ""), file("p/makefile", ""), special("p/f", tar.TypeFifo, ""))
	u, err := Unpack(t.Context(), bytes.NewReader(archive), int64(len(archive)), &cancelSink{cancel: func() {}}, nil)
	want := &Result{LeftOut: []string{`"p/f" (a named pipe)`}, Omitted: 1, Obstacles: []Obstacle{
		{Path: "p/makefile", Why: `it is "p/Makefile" where case and composition are ignored`, Systems: []string{"darwin", "windows"}},
	}}
	if diff := cmp.Diff(want, u); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// A panicSink panics, as a faulty decompressor may.
type panicSink struct{ cancelSink }

func (panicSink) Mkdir(string) error { panic("a fault") }

func TestPanicIsAnError(t *testing.T) {
	archive := makeTar(t, file("d/a", ""))
	_, err := Unpack(t.Context(), bytes.NewReader(archive), int64(len(archive)), &panicSink{}, nil)
	if protocol.CodeOf(err) != protocol.Failed || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("got %v, want a failure", err)
	}
}
