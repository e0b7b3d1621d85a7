package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/MordragT/nuka/protocol"
)

// TestFolderIsASecondWall writes entries that bypass the checks, and expects Folder to refuse them.
func TestFolderIsASecondWall(t *testing.T) {
	parent := t.TempDir()
	canary, out := filepath.Join(parent, "canary"), filepath.Join(parent, "out")
	for _, err := range []error{os.WriteFile(canary, []byte("untouched"), 0o600), os.Mkdir(out, 0o755), os.Symlink("..", filepath.Join(out, "up"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f := Folder{root}
	for _, name := range []string{"../new", "up/new", canary + "2"} {
		if w, err := f.Create(name, false); err == nil {
			w.Close()
			t.Errorf("made %q", name)
		}
		if err := f.Mkdir(name); err == nil {
			t.Errorf("made the folder %q", name)
		}
		if err := f.Symlink("x", name); err == nil {
			t.Errorf("made the link %q", name)
		}
	}
	for _, name := range []string{"../canary", "up/canary", canary} {
		if r, err := f.Open(name); err == nil {
			r.Close()
			t.Errorf("opened %q", name)
		}
	}
	if list, _ := os.ReadDir(parent); len(list) != 2 {
		t.Errorf("written beside the folder: %v", list)
	}
}

// TestTruncated cuts an archive of each format at many lengths. Unpacking must detect every cut.
func TestTruncated(t *testing.T) {
	plain := makeTar(t, file("a", strings.Repeat("a", 700)), file("b", strings.Repeat("b", 700)))
	whole := map[string][]byte{"tar": plain, "zip": makeZip(t, "a", "b"), "deb": makeDeb(t, plain)}
	for name, compress := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		whole[name] = pack(t, plain, compress)
	}
	packed, err := os.ReadFile("testdata/one.tar.bz2")
	if err != nil {
		t.Fatal(err)
	}
	whole["bzip2"] = packed
	for name, archive := range whole {
		o := &Options{Deb: name == "deb"}
		if _, err := unpackIn(t, archive, o); err != nil {
			t.Errorf("%s: whole: %v", name, err)
		}
		for cut := 0; cut < len(archive); cut += max(1, len(archive)/20) {
			if (name == "deb" || name == "tar") && cut >= len(archive)-512 {
				break // one block of zeros is a sufficient end
			}
			if got, err := unpackIn(t, archive[:cut], o); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted: %v", name, cut, len(archive), got)
			}
		}
	}
}

func pack(t testing.TB, plain []byte, compress func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compress(&b)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// makeDeb makes a Debian package as dpkg-deb does.
func makeDeb(t testing.TB, data []byte) []byte {
	t.Helper()
	return makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"control.tar", string(makeTar(t, file("./control", "Package: x\n")))}, arEntry{"data.tar", string(data)})
}

// TestBombs has small archives that claim to be large, or are: one for each way to exceed a limit.
func TestBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	big := makeTar(t, file("top/bomb", zeros))
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	deflated := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		e, err := w.Create("bomb")
		if err == nil {
			_, err = io.WriteString(e, zeros)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	same := func(n int, e entry) []byte {
		var list []entry
		for range n {
			list = append(list, e)
		}
		return makeTar(t, list...)
	}
	small := Limits{Unpacked: 1 << 19, Files: 100}
	for name, tt := range map[string]struct {
		archive []byte
		strip   int
		limits  Limits
	}{
		"gzip":              {pack(t, big, gz), 0, small},
		"xz":                {pack(t, big, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }), 0, small},
		"zstd":              {pack(t, big, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), 0, small},
		"zip":               {deflated, 0, small},
		"stripped":          {pack(t, big, gz), 2, small},
		"hard links":        {makeTar(t, append([]entry{file("a", zeros[:1<<18])}, special("b", tar.TypeLink, "a"), special("c", tar.TypeLink, "a"))...), 0, small},
		"files":             {makeTar(t, file("a", ""), file("b", ""), file("c", "")), 0, Limits{Files: 2}},
		"folders of a name": {makeTar(t, file("a/b/c/d", "")), 0, Limits{Files: 3}},
		"files in zip":      {makeZip(t, "a", "b", "c"), 0, Limits{Files: 2}},
		"one folder":        {same(101, special("d/", tar.TypeDir, "")), 0, small},
		"stripped files":    {same(101, file("a", "")), 1, small},
		"global headers":    {same(101, entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"a": "b"}}, ""}), 0, small},
		"names": {func() []byte {
			var list []entry
			for i := range 1000 {
				list = append(list, file(strings.Repeat("dir/", 250)+fmt.Sprint(i), ""))
			}
			return makeTar(t, list...)
		}(), 0, Limits{Files: 2000}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			got, err := unpackIn(t, tt.archive, &Options{Strip: tt.strip, Limits: tt.limits})
			if protocol.CodeOf(err) != protocol.Exhausted {
				t.Errorf("got %v, want a limit; %d entries were made of %d bytes", err, len(got), len(tt.archive))
			}
		})
	}
	// Input that has no entries.
	endless := func(head []byte, more func(b []byte)) error {
		w := newTreeWriter(t.Context(), &cancelSink{cancel: func() {}}, &Options{Limits: small})
		return unpackTar(w, io.MultiReader(bytes.NewReader(head), endlessReader(more)), false)
	}
	if err := endless(make([]byte, 0), func(b []byte) { copy(b, longName) }); err == nil || !strings.Contains(err.Error(), "longer than the limits") {
		t.Errorf("endless headers: got %v", err)
	}
	if err := endless(makeTar(t, special("d/", tar.TypeDir, "")), func(b []byte) { clear(b) }); err == nil {
		t.Error("endless zeros: got no error")
	}
}

// longName is a header that gives the next header's name; the archive repeats it without end.
var longName = func() []byte {
	h := make([]byte, 512)
	copy(h, "././@LongLink")
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], "00000000000\x0000000000000\x00")
	h[156] = 'L'
	copy(h[257:], "ustar  \x00")
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}()

// An endlessReader returns blocks of a tar without end.
type endlessReader func(b []byte)

func (r endlessReader) Read(b []byte) (int, error) {
	n := len(b) / 512 * 512
	for i := 0; i < n; i += 512 {
		r(b[i : i+512])
	}
	return n, nil
}

// TestUnpackCancel cancels while an entry is being written.
func TestUnpackCancel(t *testing.T) {
	archive := makeTar(t, file("a", strings.Repeat("x", 1<<20)))
	ctx, cancel := context.WithCancel(t.Context())
	sink := &cancelSink{cancel: cancel}
	_, err := Unpack(ctx, bytes.NewReader(archive), int64(len(archive)), sink, nil)
	if !errors.Is(err, context.Canceled) || sink.n > 1<<19 {
		t.Errorf("got %v after %d bytes, want to be canceled at once", err, sink.n)
	}
}

// A cancelSink cancels when it receives the first byte.
type cancelSink struct {
	cancel  func()
	n       int
	created int
}

func (s *cancelSink) Mkdir(string) error                          { return nil }
func (s *cancelSink) Symlink(string, string) error                { return nil }
func (s *cancelSink) Remove(string) error                         { return nil }
func (s *cancelSink) Open(string) (io.ReadCloser, error)          { return nil, os.ErrNotExist }
func (s *cancelSink) Create(string, bool) (io.WriteCloser, error) { s.created++; return s, nil }
func (s *cancelSink) Close() error                                { return nil }
func (s *cancelSink) Write(b []byte) (int, error) {
	s.cancel()
	s.n += len(b)
	return len(b), nil
}

// TestDecompressorMemory has headers that demand much memory: a decompressor must check its window before it allocates it.
func TestDecompressorMemory(t *testing.T) {
	small := makeTar(t, file("a", "x"))
	packed := pack(t, small, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	const block = 12 // after the stream's header
	header := packed[block : block+4*(int(packed[block])+1)]
	if header[2] != 0x21 || header[3] != 1 {
		t.Fatalf("the block's header is % x", header)
	}
	header[4] = 40 // a dictionary of 4 GiB
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	alone := append([]byte{0x5d, 0, 0, 0, 0x80, 255, 255, 255, 255, 255, 255, 255, 255}, make([]byte, 100)...)
	for name, archive := range map[string][]byte{
		"xz":   packed,
		"zstd": append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0}, make([]byte, 100)...), // a window of 1 GiB
		"lzma": alone,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got, err := unpackIn(t, archive, nil); err == nil {
			t.Errorf("%s: accepted: %v", name, got)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
			t.Errorf("%s: took %d MiB", name, took>>20)
		}
	}
}
