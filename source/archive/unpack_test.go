package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/MordragT/nuka/protocol"
)

type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, body}
}

func special(name string, kind byte, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o644}, ""}
}

func makeTar(t testing.TB, entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeZip(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		// CreateRaw writes sizes into the local header, as most tools do.
		h := &zip.FileHeader{Name: name, Method: zip.Store, UncompressedSize64: 2, CompressedSize64: 2, CRC32: crc32.ChecksumIEEE([]byte("zz"))}
		e, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e, "zz"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackIn unpacks into a folder with a sibling that must not change, and returns the files in the folder.
func unpackIn(t *testing.T, archive []byte, o *Options) (map[string]string, error) {
	t.Helper()
	parent := t.TempDir()
	canary := filepath.Join(parent, "canary")
	if err := os.WriteFile(canary, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(parent, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = Unpack(context.Background(), bytes.NewReader(archive), int64(len(archive)), Folder{root}, o)
	if got, readErr := os.ReadFile(canary); readErr != nil || string(got) != "untouched" {
		t.Errorf("the file beside the folder changed: %q, %v", got, readErr)
	}
	if list, _ := os.ReadDir(parent); len(list) != 2 {
		t.Errorf("something was written beside the folder: %v", list)
	}
	got := map[string]string{}
	walkErr := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			got[p] = "dir"
		case d.Type() == fs.ModeSymlink:
			target, err := root.Readlink(p)
			got[p] = "-> " + target
			return err
		default:
			body, err := root.ReadFile(p)
			got[p] = string(body)
			if info.Mode()&0o111 != 0 {
				got[p] += " (x)"
			}
			return err
		}
		return nil
	})
	if walkErr != nil {
		t.Fatal(walkErr)
	}
	return got, err
}

func TestUnpackFormats(t *testing.T) {
	plain := makeTar(t,
		entry{tar.Header{Name: "p/", Typeflag: tar.TypeDir, Mode: 0o755}, ""},
		file("p/a/b.txt", "hello"),
		entry{tar.Header{Name: "p/run", Typeflag: tar.TypeReg, Mode: 0o755}, "#!"},
		special("p/a/link", tar.TypeSymlink, "../run"),
		special("p/hard", tar.TypeLink, "p/run"),
	)
	want := map[string]string{"a": "dir", "a/b.txt": "hello", "a/link": "-> ../run", "run": "#! (x)", "hard": "#! (x)"}
	pack := func(w io.WriteCloser, err error) io.WriteCloser {
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, compress := range map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"xz":   func(w io.Writer) io.WriteCloser { return pack(xz.NewWriter(w)) },
		"zstd": func(w io.Writer) io.WriteCloser { return pack(zstd.NewWriter(w)) },
	} {
		var b bytes.Buffer
		w := compress(&b)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := unpackIn(t, b.Bytes(), &Options{Strip: 1})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	got, err := unpackIn(t, plain, &Options{Strip: 1})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("plain: %v (-want +got)\n%s", err, diff)
	}
	// The standard library cannot write bzip2, so this is a file: a tar with one file.
	packed, err := os.ReadFile("testdata/one.tar.bz2")
	if err != nil {
		t.Fatal(err)
	}
	got, err = unpackIn(t, packed, nil)
	if diff := cmp.Diff(map[string]string{"one": "1\n"}, got); diff != "" || err != nil {
		t.Errorf("bzip2: %v (-want +got)\n%s", err, diff)
	}
	got, err = unpackIn(t, makeZip(t, "m@v1/x", "m@v1/y/z"), &Options{Strip: 1})
	if diff := cmp.Diff(map[string]string{"x": "zz", "y": "dir", "y/z": "zz"}, got); diff != "" || err != nil {
		t.Errorf("zip: %v (-want +got)\n%s", err, diff)
	}
}

func TestUnpackDeb(t *testing.T) {
	data := makeTar(t, file("./usr/bin/x", "x"), special("./etc/x", tar.TypeSymlink, "/usr/bin/x"))
	got, err := unpackIn(t, makeDeb(t, data), &Options{Deb: true})
	want := map[string]string{"usr": "dir", "usr/bin": "dir", "usr/bin/x": "x", "etc": "dir", "etc/x": "-> /usr/bin/x"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestHostileTar has an archive for each trick that has deceived some tool. The error must name the entry.
func TestHostileTar(t *testing.T) {
	global := entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"path": "other"}}, ""}
	for name, tt := range map[string]struct {
		entries []entry
		named   string
	}{
		"dotdot":              {[]entry{file("../canary", "x")}, "../canary"},
		"dotdot inside":       {[]entry{file("a/../../canary", "x")}, "a/../../canary"},
		"absolute dotdot":     {[]entry{file("/../canary", "x")}, "/../canary"},
		"link then write":     {[]entry{special("d", tar.TypeSymlink, "."), file("d/x", "x")}, "d/x"},
		"link out then write": {[]entry{special("d", tar.TypeSymlink, ".."), file("d/canary", "x")}, "d/canary"},
		"write, link, write":  {[]entry{file("d", "x"), special("d", tar.TypeSymlink, ".."), file("d/canary", "x")}, "d/canary"},
		"hard link, write":    {[]entry{special("l", tar.TypeSymlink, ".."), special("h", tar.TypeLink, "l"), file("h/canary", "x")}, "h/canary"},
		"hard link out":       {[]entry{special("h", tar.TypeLink, "../canary")}, "h"},
		"hard link through":   {[]entry{special("d", tar.TypeSymlink, ".."), special("h", tar.TypeLink, "d/canary")}, "h"},
		"hard link forward":   {[]entry{special("h", tar.TypeLink, "later"), file("later", "x")}, "h"},
		"hard link to folder": {[]entry{file("d/x", "x"), special("h", tar.TypeLink, "d")}, "h"},
		"hard link absolute":  {[]entry{special("h", tar.TypeLink, "/etc/passwd")}, "h"},
		"below a device":      {[]entry{special("dev", tar.TypeChar, ""), file("dev/x", "x")}, "dev/x"},
		"overlong part":       {[]entry{file("a/"+strings.Repeat("n", 256), "x")}, "nnn"},
		"overlong turned":     {[]entry{file(strings.Repeat("\xe9", 128), "x")}, `\xe9`},
		"overlong name":       {[]entry{file(strings.Repeat("n/", 2050)+"x", "x")}, "n/n"},
		"too deep":            {[]entry{file(strings.Repeat("n/", 300)+"x", "x")}, "n/n"},
		"folder over a file":  {[]entry{file("a", "1"), special("a/", tar.TypeDir, "")}, "a"},
		"file over a folder":  {[]entry{file("a/b", "1"), file("a", "2")}, "a"},
		"folder over a link":  {[]entry{special("a", tar.TypeSymlink, ".."), special("a/", tar.TypeDir, "")}, "a"},
		"link over a folder":  {[]entry{special("a/", tar.TypeDir, ""), special("a", tar.TypeSymlink, "..")}, "a"},
		"file below a file":   {[]entry{file("a", "1"), file("a/b", "2")}, "a/b"},
		"turned into another": {[]entry{file("caf\u00e9", "1"), file("caf\xe9", "2")}, `caf\xe9`},
		"another turned":      {[]entry{file("caf\xe9/a", "1"), file("caf\u00e9/b", "2")}, "caf"},
		"empty link":          {[]entry{special("l", tar.TypeSymlink, "")}, "l"},
		"global name":         {[]entry{global}, "other"},
		"unknown type":        {[]entry{special("u", 'Y', "")}, "u"},
		"empty":               {nil, ""},
		"nothing after strip": {[]entry{file("a", "x")}, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			archive := makeTar(t, tt.entries...)
			o := &Options{}
			if name == "nothing after strip" {
				o.Strip = 1
			}
			got, err := unpackIn(t, archive, o)
			if err == nil {
				t.Fatalf("accepted: %v", got)
			}
			if !strings.Contains(err.Error(), tt.named) {
				t.Errorf("error %q does not name the entry %q", err, tt.named)
			}
			// The folder is a second defence, with errors of its own; the first one must refuse.
			if e := protocol.AsError(err); tt.named != "" && (e == nil || e.Code != protocol.Invalid || e.Hint == "") {
				t.Errorf("got %+v, want a refusal", e)
			}
		})
	}
}

// withPAXSize returns a tar whose PAX record gives another size than the plain header (CVE-2025-62518).
func withPAXSize(t *testing.T) []byte {
	var b bytes.Buffer
	record := func(kind byte, name, body string) {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", len(body), 0))
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		copy(h[148:], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(h)
		b.WriteString(body)
		b.Write(make([]byte, (512-len(body)%512)%512))
	}
	record('x', "pax", "9 size=4\n")
	record('0', "two-sizes", "1234")
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func TestTrailingArchive(t *testing.T) {
	archive := append(makeTar(t, file("a", "1")), makeTar(t, file("b", "2"))...)
	if got, err := unpackIn(t, archive, nil); err == nil {
		t.Errorf("a second archive after the first is accepted: %v", got)
	}
}

func TestHostileZip(t *testing.T) {
	good := makeZip(t, "a", "b")
	for name, tt := range map[string]struct {
		archive []byte
		named   string
	}{
		"dotdot":          {makeZip(t, "../canary"), "../canary"},
		"absolute dotdot": {makeZip(t, "/../canary"), "/../canary"},
		"backslash":       {makeZip(t, `..\canary`), "canary"},
		"nul":             {makeZip(t, "a\x00b"), "a"},
		"other name":      {bytes.Replace(good, []byte("PK\x03\x04"), []byte("PK\x03\x04"), 1), "c"},
		"trailing":        {append(bytes.Clone(good), "x"...), ""},
		"short comment":   {append(patched(good, len(good)-2, 2), "x"...), ""},
		"two ends":        {append(patched(good, len(good)-2, 22), good[len(good)-22:]...), ""},
		"two directories": {slices.Concat(good[:len(good)-22], good), ""},
		"truncated":       {good[:len(good)-30], ""},
		"shared data":     {overlapping(good), "b"},
		"overlap":         {quoting(t, good), "b"},
		"other size":      {patched(good, 22, 3), "a"},
		"other method":    {patched(good, 8, 8), "a"},
		"local signature": {patched(good, 0, 'X'), ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			archive := tt.archive
			if name == "other name" {
				archive = patched(good, 30, 'c')
			}
			got, err := unpackIn(t, archive, nil)
			if err == nil {
				t.Fatalf("accepted: %v", got)
			}
			if !strings.Contains(err.Error(), tt.named) {
				t.Errorf("error %q does not name %q", err, tt.named)
			}
			if e := protocol.AsError(err); tt.named != "" && (e == nil || e.Code != protocol.Invalid || e.Hint == "") {
				t.Errorf("got %+v, want a refusal", e)
			}
		})
	}
}

// patched changes one byte, such as one of the first local header.
func patched(archive []byte, at int, to byte) []byte {
	out := bytes.Clone(archive)
	out[at] = to
	return out
}

// overlapping makes the second entry's central header point at the first one's data.
func overlapping(archive []byte) []byte {
	out := bytes.Clone(archive)
	second := bytes.LastIndex(out, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(out[second+42:], 0)
	copy(out[bytes.LastIndex(out, []byte("PK\x03\x04")):], "PK\x03\x04")
	return out
}

// quoting makes the first entry's data contain the second entry completely, with its header, so that each of its bytes counts twice.
// With a thousand entries, a small file becomes a bomb. Both headers of each entry agree.
func quoting(t *testing.T, good []byte) []byte {
	t.Helper()
	second := good[bytes.LastIndex(good, []byte("PK\x03\x04")):bytes.Index(good, []byte("PK\x01\x02"))]
	head, central := bytes.Clone(good[:31]), bytes.Clone(good[bytes.Index(good, []byte("PK\x01\x02")):])
	for at, header := range map[int][]byte{14: head, 16: central} {
		binary.LittleEndian.PutUint32(header[at:], crc32.ChecksumIEEE(second))
		binary.LittleEndian.PutUint32(header[at+4:], uint32(len(second)))
		binary.LittleEndian.PutUint32(header[at+8:], uint32(len(second)))
	}
	b := central[bytes.LastIndex(central, []byte("PK\x01\x02")):]
	binary.LittleEndian.PutUint32(b[42:], uint32(len(head)))
	end := central[bytes.Index(central, []byte("PK\x05\x06")):]
	binary.LittleEndian.PutUint32(end[16:], uint32(len(head)+len(second)))
	return slices.Concat(head, second, central)
}
