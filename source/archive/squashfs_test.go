package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// squashSource makes a folder with what a squashfs stores in different ways: ends of files in shared fragments, holes, links, large folders.
func squashSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, b []byte, mode fs.FileMode) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, b, mode), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}
	noise := func(n int) []byte {
		b := make([]byte, n)
		r := rand.NewChaCha8([32]byte{byte(n)})
		_, _ = r.Read(b)
		return b
	}
	put("AppRun", []byte("#!/bin/sh\necho hello\n"), 0o755)
	put("empty", nil, 0o644)
	put("exact", noise(256<<10), 0o644)
	put("noise", noise(300_001), 0o644)
	put("text", bytes.Repeat([]byte("all work and no play\n"), 40_000), 0o644)
	put("holes", append(make([]byte, 700_000), noise(99)...), 0o644)
	put("deep/er/and/deeper/file", []byte("x"), 0o600)
	put(strings.Repeat("n", 255), []byte("a long name"), 0o644)
	for i := range 700 {
		put(fmt.Sprintf("many/file %d with a name that fills the list of the folder", i), fmt.Append(nil, i), 0o644)
	}
	err := errors.Join(os.Mkdir(filepath.Join(dir, "hollow"), 0o755), os.Symlink("text", filepath.Join(dir, "link")), os.Symlink("../nowhere", filepath.Join(dir, "deep/dangling")),
		os.Link(filepath.Join(dir, "text"), filepath.Join(dir, "same")))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// squashed returns the image that mksquashfs makes of a folder.
func squashed(t *testing.T, dir string, flags ...string) []byte {
	t.Helper()
	tool, err := exec.LookPath("mksquashfs")
	if err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "image")
	if text, err := exec.Command(tool, append([]string{dir, out, "-quiet", "-no-progress"}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folderText describes a folder: kinds, the bit for execution, contents, targets.
func folderText(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().Type().String()
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			text = fmt.Sprintf("%v %d %x", info.Mode()&0o100 != 0, len(b), sha256.Sum256(b))
		case info.Mode()&fs.ModeSymlink != 0:
			if text, err = os.Readlink(at); err != nil {
				return err
			}
		}
		all[strings.TrimPrefix(at, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unpackBytes(t *testing.T, b []byte, o *Options) (string, error) {
	t.Helper()
	out := t.TempDir()
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // a folder
	_, err = Unpack(t.Context(), bytes.NewReader(b), int64(len(b)), Folder{root}, o)
	return out, err
}

// TestSquashfs unpacks what mksquashfs has packed, in the ways in which it packs.
func TestSquashfs(t *testing.T) {
	dir := squashSource(t)
	want := folderText(t, dir)
	for _, flags := range []string{
		"", "-comp xz -Xbcj x86", "-comp zstd", "-b 4096", "-b 1M", "-noI -noD -noF", "-no-fragments", "-always-use-fragments", "-no-exports -no-duplicates", "-noI",
		"-comp zstd -b 1M -Xcompression-level 19",
	} {
		t.Run(flags, func(t *testing.T) {
			out, err := unpackBytes(t, squashed(t, dir, strings.Fields(flags)...), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, folderText(t, out)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, other := range []string{"lz4", "lzo", "lzma"} {
		if _, err := unpackBytes(t, squashed(t, dir, "-comp", other), nil); err == nil || !strings.Contains(err.Error(), other) {
			t.Errorf("compressed with %s: %v", other, err)
		}
	}
}

// TestSquashfsKept unpacks images that mksquashfs made, where there is no mksquashfs.
func TestSquashfsKept(t *testing.T) {
	for _, name := range []string{"gzip", "xz", "zstd"} {
		out, err := unpackBytes(t, readSquash(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"/file": fmt.Sprintf("false 6 %x", sha256.Sum256([]byte("hello\n"))), "/link": "file", "/sub": "d---------", "/sub/run": fmt.Sprintf("true 10 %x", sha256.Sum256([]byte("#!/bin/sh\n"))),
		}
		if diff := cmp.Diff(want, folderText(t, out)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// appImage returns an executable with the mark of an AppImage, and an image behind it.
func appImage(t *testing.T, kind byte, image []byte) []byte {
	t.Helper()
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skip(err)
	}
	b = bytes.Clone(b)
	copy(b[8:], []byte{'A', 'I', kind})
	return append(b, image...)
}

func TestAppImage(t *testing.T) {
	dir := squashSource(t)
	image := squashed(t, dir)
	out, err := unpackBytes(t, appImage(t, 2, image), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(folderText(t, dir), folderText(t, out)); diff != "" {
		t.Error(diff)
	}
	for want, b := range map[string][]byte{
		"of type 1": appImage(t, 1, image), "no squashfs lies behind": appImage(t, 2, nil), "broken": appImage(t, 2, image[:2000]), "known format": appImage(t, 3, image),
	} {
		if _, err := unpackBytes(t, b, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestSquashfsHostile changes an image. Nothing of it leads out of the folder, takes endless time or memory, or panics.
func TestSquashfsHostile(t *testing.T) {
	image := readSquash(t, "hostile") // a/b/file, a/other and z, not compressed
	limits := &Options{Limits: Limits{Unpacked: 1 << 20, Files: 1000}}
	if _, err := unpackBytes(t, image, limits); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	inodes, dirs := le.Uint64(image[64:]), le.Uint64(image[72:])
	name := func(text string) int { // where the name of an entry is
		return bytes.Index(image[dirs:], append(le.AppendUint16(nil, uint16(len(text)-1)), text...)) + int(dirs) + 2
	}
	for what, change := range map[string]func(b []byte){
		"a name with a slash":      func(b []byte) { copy(b[name("other"):], "../xx") },
		"a name with dots":         func(b []byte) { copy(b[name("zz"):], "..") },
		"a folder inside itself":   func(b []byte) { copy(b[name("b")-8:], b[name("a")-8:name("a")-6]) },
		"a block size of 0":        func(b []byte) { le.PutUint32(b[12:], 0) },
		"a block size of 2 GiB":    func(b []byte) { le.PutUint32(b[12:], 1<<31) },
		"tables behind its end":    func(b []byte) { le.PutUint64(b[64:], 1<<62) },
		"a negative table":         func(b []byte) { le.PutUint64(b[72:], 1<<64-8) },
		"fragments behind its end": func(b []byte) { le.PutUint64(b[80:], 1<<50) },
		"a file of 4 GiB": func(b []byte) {
			for at := int(inodes) + 2; at < int(dirs)-16; at++ { // the inode of each file: its type, and its size behind the place of its end
				if le.Uint16(b[at:]) == squashFile && le.Uint32(b[at+28:]) == 1100 {
					le.PutUint32(b[at+28:], 1<<32-1)
				}
			}
		},
	} {
		b := bytes.Clone(image)
		change(b)
		if bytes.Equal(b, image) {
			t.Errorf("%s: nothing is changed", what)
		}
		if _, err := unpackBytes(t, b, limits); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	for at := range image {
		b := bytes.Clone(image)
		b[at] ^= 1 << (at * 7 % 8)
		_, err := Unpack(t.Context(), bytes.NewReader(b), int64(len(b)), &cancelSink{cancel: func() {}}, limits)
		var coded *protocol.Error
		if err != nil && (!errors.As(err, &coded) || coded.Code == protocol.Failed) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func readSquash(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "squashfs", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzSquashfs(f *testing.F) {
	var seeds [][]byte
	for _, name := range []string{"gzip", "xz", "zstd", "hostile"} {
		seeds = append(seeds, readSquash(f, name))
	}
	fuzzUnpack(f, Options{}, seeds...)
}
