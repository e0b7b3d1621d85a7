package wasmrt_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/wasmrt"
)

// memory is a Memo for tests.
type memory struct {
	mu      sync.Mutex
	records map[[32]byte][]byte
}

func (m *memory) Recall(key [32]byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[key]
}

func (m *memory) Remember(key [32]byte, record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[key] = record
}

// A memoCase is a command that runs twice, each time in a new folder, the second time after a change.
type memoCase struct {
	name   string
	files  map[string]string // "" is a folder, "-> x" a link
	args   string
	change func(dir string) error // nil changes nothing
	env    []string
	then   []string // the variables of the second run, if others
	stdin  string
	limits wasmrt.DirOptions
	hit    bool // whether the second run is remembered
	whole  bool // whether it is, if it is a command with processes: when that has ended, all files have one time
}

func write(name, text string) func(string) error {
	return func(dir string) error {
		at := filepath.Join(dir, name)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			os.Remove(at)
			return os.Symlink(target, at)
		}
		return os.WriteFile(at, []byte(text), 0o644)
	}
}

var memoCases = []memoCase{
	{name: "the same again", files: map[string]string{"a.c": "one\nwarn two\n"}, args: "memo a.c -o a.o", hit: true},
	{name: "a failure", files: map[string]string{"a.c": "fail\n"}, args: "memo a.c -o a.o", hit: true},
	{name: "the source", files: map[string]string{"a.c": "one\n"}, args: "memo a.c -o a.o", change: write("a.c", "two\n")},
	{name: "a file that is included", files: map[string]string{"a.c": "include h\n", "h": "one\n"}, args: "memo a.c -o a.o", change: write("h", "two\n")},
	{
		name: "a file that nothing looks at", files: map[string]string{"a.c": "include h\n", "h": "one\n", "x": "one\n"}, args: "memo a.c -o a.o",
		change: write("x", "two\n"), hit: true,
	},
	{
		name: "a file that was looked for and not found", files: map[string]string{"a.c": "include h\n", "1": "", "2": "", "2/h": "one\n"},
		args: "memo -I1 -I2 a.c -o a.o", change: write("1/h", "two\n"),
	},
	{
		name: "a folder that was looked for and not found", files: map[string]string{"a.c": "include x/h\n", "1": "", "2": "", "2/x": "", "2/x/h": "one\n"},
		args: "memo -I1 -I2 a.c -o a.o", change: func(dir string) error {
			if err := os.Mkdir(filepath.Join(dir, "1/x"), 0o755); err != nil {
				return err
			}
			return write("1/x/h", "two\n")(dir)
		},
	},
	{name: "where a link leads", files: map[string]string{"a.c": "include h\n", "h": "-> 1", "1": "one\n", "2": "two\n"}, args: "memo a.c -o a.o", change: write("h", "-> 2")},
	{name: "a folder's list", files: map[string]string{"a.c": "list d\n", "d": "", "d/1": "x"}, args: "memo a.c -o a.o", change: write("d/2", "x")},
	{name: "a list of its own folder", files: map[string]string{"a.c": "list .\n"}, args: "memo a.c -o a.o", change: write("z", "x")},
	{name: "the same list of its own folder", files: map[string]string{"a.c": "list .\n"}, args: "memo a.c -o a.o", hit: true},
	{name: "a file of arguments", files: map[string]string{"a.c": "one\n", "b.c": "two\n", "r": "a.c"}, args: "memo @r -o a.o", change: write("r", "b.c")},
	{name: "a variable", files: map[string]string{"a.c": "env X\n"}, args: "memo a.c -o a.o", env: []string{"X=1"}, then: []string{"X=2"}},
	{name: "a variable of make", files: map[string]string{"a.c": "env CFLAGS\n"}, args: "memo a.c -o a.o", env: []string{"CFLAGS=1"}, then: []string{"CFLAGS=2"}},
	{name: "one for a compiler", files: map[string]string{"a.c": "one\n"}, args: "clang a.c -o a.o", env: []string{"MAKEFLAGS=1"}, then: []string{"MAKEFLAGS=2"}, hit: true},
	{name: "the clock", files: map[string]string{"a.c": "clock\nmtime a.c\n"}, args: "memo a.c -o a.o", hit: true},
	{name: "a file that is written to", files: map[string]string{"a.c": "append x\n", "x": "one\n"}, args: "memo a.c -o a.o", change: write("x", "two\n")},
	{name: "a file that is renamed", files: map[string]string{"a.c": "move x y\n", "x": "one\n"}, args: "memo a.c -o a.o", change: write("x", "two\n")},
	{name: "folders and links", files: map[string]string{"a.c": "mkdir d\nsymlink d/l\nremove x\n", "x": "one\n"}, args: "memo a.c -o a.o", hit: true},
	{name: "an older result", files: map[string]string{"a.c": "one\n"}, args: "memo a.c -o a.o", change: write("a.o", "zero")},
	{name: "a folder in place of the result", files: map[string]string{"a.c": "one\n"}, args: "memo a.c -o a.o", change: func(dir string) error {
		return os.Mkdir(filepath.Join(dir, "a.o"), 0o755)
	}},
	{name: "standard input", files: map[string]string{"a.c": "stdin\n"}, args: "memo a.c -o a.o", stdin: "one\n"},
	{name: "a time that is set", files: map[string]string{"a.c": "touch x\n", "x": "one\n"}, args: "memo a.c -o a.o", whole: true},
	{name: "two names", files: map[string]string{"a.c": "include h\n", "h": "one\n"}, args: "memo a.c -o a.o", change: func(dir string) error {
		return os.Link(filepath.Join(dir, "h"), filepath.Join(dir, "i"))
	}},
	{
		name: "a full disk", files: map[string]string{"a.c": "fill x\n", "ballast": strings.Repeat("x", 1<<20)}, args: "memo a.c -o a.o", limits: wasmrt.DirOptions{MaxBytes: 3 << 19},
		change: func(dir string) error { return os.Remove(filepath.Join(dir, "ballast")) },
	},
}

// TestMemo runs each case with and without a Memo: alone, as a process of a pipeline, and as the whole of a command. What the second run leaves must be the same.
func TestMemo(t *testing.T) {
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: runtimeDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	for _, c := range memoCases {
		for _, how := range []string{"", "posix pipeline "} {
			t.Run(strings.TrimSpace(how+c.name), func(t *testing.T) {
				memo := &memory{records: map[[32]byte][]byte{}}
				c.args = how + c.args
				got, hits := c.twice(t, rt, memo)
				want, _ := c.twice(t, rt, nil)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("with a Memo (-want +got)\n%s", d)
				}
				if wanted := c.hit || c.whole && how != ""; (hits > 0) != wanted {
					t.Errorf("got %d results from the Memo, want some: %t", hits, wanted)
				}
				for key := range memo.records { // a damaged record is none
					memo.records[key] = []byte(`{"seen":[{"path":"/nuka/build/a.c","kind":9}]}`)
				}
				if got, _ = c.twice(t, rt, memo); cmp.Diff(want, got) != "" {
					t.Errorf("with damaged records: got %q", got)
				}
			})
		}
	}
}

// twice returns what the second run leaves and prints, and how many results the Memo had.
func (c *memoCase) twice(t *testing.T, rt *wasmrt.Runtime, memo *memory) (left string, hits int64) {
	t.Helper()
	var dir, out string
	for i := range 2 {
		dir = c.folder(t)
		command := &wasmrt.Command{Args: strings.Fields(c.args), Dir: "/nuka/build", Env: append([]string{}, c.env...)}
		if c.stdin != "" {
			command.Stdin = strings.NewReader([]string{c.stdin, "other\n"}[i])
		}
		if i == 1 && c.change != nil {
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
		}
		if i == 1 && c.then != nil {
			command.Env = c.then
		}
		var text bytes.Buffer
		command.Stdout, command.Stderr = &text, &text
		h := c.host(t, rt, dir, memo)
		exit, err := h.Exec(t.Context(), command)
		out = fmt.Sprintf("exit %d, %v\n%s", exit, err, text.String())
		hits, _ = h.Remembered()
	}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, at)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			out += rel + " -> " + target + "\n"
			return err
		case d.Type().IsRegular():
			b, err := os.ReadFile(at)
			info, _ := d.Info()
			out += fmt.Sprintf("%s %t %.100q\n", rel, info.Mode()&0o100 != 0, b)
			return err
		}
		out += rel + "/\n"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, hits
}

// folder makes the files of a case.
func (c *memoCase) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		err := error(nil)
		if text := c.files[name]; text == "" {
			err = os.Mkdir(filepath.Join(dir, name), 0o755)
		} else {
			err = write(name, text)(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (c *memoCase) host(t *testing.T, rt *wasmrt.Runtime, dir string, memo *memory) *wasmrt.Host {
	t.Helper()
	var entries []wasmrt.Entry
	for name, file := range map[string]string{"memo": memoWasm, "clang": memoWasm, "posix": posixWasm} {
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, wasmrt.Entry{Path: "bin/" + name, Kind: wasmrt.KindFile, Exec: true, Size: st.Size(), File: file})
	}
	tree, err := wasmrt.NewTree(slices.Values(entries))
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := wasmrt.OpenDir(dir, &c.limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { scratch.Close() })
	files, err := wasmrt.NewFS(wasmrt.Mount{Path: "/nuka/store/p", Tree: tree, Source: true}, wasmrt.Mount{Path: "/nuka/build", Dir: scratch})
	if err != nil {
		t.Fatal(err)
	}
	h := &wasmrt.Host{Runtime: rt, FS: files, Path: []string{"/nuka/store/p/bin"}}
	if memo != nil {
		h.Memo = memo
	}
	return h
}
