package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// A strictSink is a folder that fails on invalid names and beyond the limits.
type strictSink struct {
	Folder
	t       *testing.T
	written int64
	entries int
}

func (s *strictSink) check(name string) {
	if s.entries++; !fs.ValidPath(name) || name == "." {
		s.t.Errorf("the name %q", name)
	}
}

func (s *strictSink) Mkdir(name string) error {
	s.check(name)
	return s.Folder.Mkdir(name)
}

func (s *strictSink) Symlink(target, name string) error {
	s.check(name)
	return s.Folder.Symlink(target, name)
}

func (s *strictSink) Create(name string, executable bool) (io.WriteCloser, error) {
	s.check(name)
	w, err := s.Folder.Create(name, executable)
	return countWritten{w, s}, err
}

type countWritten struct {
	io.WriteCloser
	sink *strictSink
}

func (c countWritten) Write(b []byte) (int, error) {
	c.sink.written += int64(len(b))
	return c.WriteCloser.Write(b)
}

// fuzzUnpack checks for each input that unpacking terminates with a tree or with an error that has a code; that nothing panics, not even
// with a recovery; that names are valid; that the limits hold; and that nothing is written outside the folder.
func fuzzUnpack(f *testing.F, o Options, seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	o.Limits = Limits{Unpacked: 1 << 20, Files: 100}
	f.Fuzz(func(t *testing.T, archive []byte) {
		parent := t.TempDir()
		out := filepath.Join(parent, "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(out)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		sink := &strictSink{Folder: Folder{root}, t: t}
		_, err = Unpack(t.Context(), bytes.NewReader(archive), int64(len(archive)), sink, &o)
		var coded *protocol.Error
		if errors.As(err, &coded) && coded.Code == protocol.Failed {
			t.Errorf("a panic was caught: %v", err)
		}
		// Unpacking reads one byte more than declared from each file, to check that there is none.
		if sink.written > o.Limits.Unpacked+int64(o.Limits.Files) || sink.entries > 2*o.Limits.Files {
			t.Errorf("%d bytes, %d entries", sink.written, sink.entries)
		}
		if list, _ := os.ReadDir(parent); len(list) != 1 {
			t.Errorf("written beside the folder: %v", list)
		}
	})
}

// realFiles returns the test archives with the given suffix, without gzip.
func realFiles(f *testing.F, ending string) (out [][]byte) {
	names, err := filepath.Glob("testdata/real/*" + ending)
	if err != nil || len(names) == 0 {
		f.Fatal(ending, err)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if strings.HasSuffix(ending, "gz") {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err == nil {
				z.Multistream(false) // zeros may follow
				body, err = io.ReadAll(z)
			}
			if err != nil {
				f.Fatal(name, err)
			}
		}
		if len(body) < 1<<16 { // larger ones would slow the fuzzer down
			out = append(out, body)
		}
	}
	return out
}

func FuzzUnpack(f *testing.F) {
	seeds := [][]byte{makeTar(f, file("a/b", "x"), special("l", tar.TypeSymlink, "a"), special("h", tar.TypeLink, "l"), file("a/b", ""))}
	for _, ending := range []string{".xz", ".bz2", ".zst", ".lzma"} {
		seeds = append(seeds, realFiles(f, ending)...)
	}
	fuzzUnpack(f, Options{}, seeds...)
}

func FuzzZip(f *testing.F) {
	fuzzUnpack(f, Options{}, append(realFiles(f, ".zip"), makeZip(f, "a", "b/c"), overlapping(makeZip(f, "a", "b")))...)
}

func FuzzTarSparse(f *testing.F) {
	fuzzUnpack(f, Options{}, append(realFiles(f, ".tar.gz"), makeTar(f, file("a", "x")))...)
}

func FuzzDeb(f *testing.F) {
	fuzzUnpack(f, Options{Deb: true}, makeDeb(f, makeTar(f, file("./a", "x"))))
}

func FuzzDebRaw(f *testing.F) {
	fuzzUnpack(f, Options{Deb: true, Control: true}, makeDeb(f, makeTar(f, file("./a", "x"))), makeDeb(f, makeTar(f, file("./DEBIAN/a", "x"))))
}
