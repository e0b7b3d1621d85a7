package wasmrt_test

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// suiteBox returns a box whose guest is the program of testdata/suite.
func suiteBox(t *testing.T, o *wasmrt.DirOptions) *box {
	t.Helper()
	rt, suite := suiteModule(t)
	return boxOf(t, rt, suite, o)
}

func suiteModule(t *testing.T) (*wasmrt.Runtime, *wasmrt.Module) {
	t.Helper()
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: runtimeDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	suite, err := rt.LoadFile(ctx, suiteWasm)
	if err != nil {
		t.Fatal(err)
	}
	return rt, suite
}

func (b *box) suite(change func(*wasmrt.Program), args ...string) (string, int) {
	b.t.Helper()
	out, exit, err := b.try(func(p *wasmrt.Program) {
		p.Args = append([]string{"suite"}, args...)
		if change != nil {
			change(p)
		}
	})
	if err != nil {
		b.t.Errorf("%s: %v", args, err)
	}
	return out, exit
}

// TestSuite asserts what the programs of wasi-testsuite assert, in a Live directory, as `nuka run` mounts one, and in a build's.
// docs/wasi.md names the assertions that it leaves out.
func TestSuite(t *testing.T) {
	rt, suite := suiteModule(t)
	// In a build every file has one fixed time, whatever time a program sets.
	fixedTimes := map[string]bool{"fd_filestat_set": true, "path_filestat": true, "symlink_filestat": true}
	for _, name := range []string{
		"clocks", "close_preopen", "dangling_fd", "dangling_symlink", "dir_fd_op_failures", "directory_seek", "fd_advise",
		"fd_fdstat_set_rights", "fd_filestat_set", "fd_flags_set", "fd_readdir", "fd_write-to-invalid-fd", "fdopendir-with-access",
		"file_allocate", "file_pread_pwrite", "file_seek_tell", "file_truncation", "file_unbuffered_write", "fstflags_validate", "isatty",
		"nofollow_errors", "overwrite_preopen", "path_exists", "path_filestat", "path_link", "path_open_create_existing",
		"path_open_dirfd_not_dir", "path_open_missing", "path_open_nonblock", "path_open_preopen", "path_open_read_write",
		"path_rename", "path_rename_dir_trailing_slashes", "path_symlink_trailing_slashes", "pointers", "pwrite-with-append",
		"random", "readlink", "remove_directory_trailing_slashes", "remove_nonempty_directory", "renumber", "sockets",
		"stat-dev-ino", "stdio", "symlink_create", "symlink_filestat", "symlink_loop", "truncation_rights",
		"unlink_file_trailing_slashes",
	} {
		for mode, o := range map[string]*wasmrt.DirOptions{"live": {Live: true}, "build": nil} {
			if o == nil && fixedTimes[name] {
				continue
			}
			t.Run(name+"/"+mode, func(t *testing.T) {
				b := boxOf(t, rt, suite, o)
				if out, exit := b.suite(func(p *wasmrt.Program) { p.Real = o != nil }, name); exit != 0 {
					t.Errorf("exit %d\n%s", exit, out)
				}
				b.unharmed()
			})
		}
	}
}

// TestSuiteInterestingPaths expects the last assertion of interesting_paths to fail, and no other. A path may leave the
// directory that it starts from: programs have no working directory except the one from nuka, so nuka allows "../x" in it.
func TestSuiteInterestingPaths(t *testing.T) {
	out, _ := suiteBox(t, nil).suite(nil, "interesting_paths")
	want := "open \"dir/nested/../../../suite.dir/dir/nested/file\" lookup 0 flags 0 rights 0x0: errno 0, want one of [63 76]\n"
	if out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestSuiteArguments(t *testing.T) {
	b := suiteBox(t, nil)
	out, exit := b.suite(func(p *wasmrt.Program) { p.Env = []string{"A=1", "B="} }, "args", "two words", "ü")
	if want := "suite|args|two words|ü| A=1|B=|PWD=/nuka/build|"; exit != 0 || out != want {
		t.Errorf("exit %d, got %q, want %q", exit, out, want)
	}
	// Without further configuration, a program gets only its own name and its working directory.
	if out, exit := suiteBox(t, nil).suite(nil, "args"); exit != 0 || out != "suite|args| PWD=/nuka/build|" {
		t.Errorf("without more: exit %d, got %q", exit, out)
	}
}

func TestSuiteWithoutFolders(t *testing.T) {
	if out, exit := suiteBox(t, nil).suite(func(p *wasmrt.Program) { p.FS, p.Dir = nil, "" }, "no access"); exit != 0 {
		t.Errorf("exit %d\n%s", exit, out)
	}
}

// TestExitCodes checks that an exit code beyond eight bits stays a failure: the user's system would keep only the low bits.
func TestExitCodes(t *testing.T) {
	for code, want := range map[int]int{0: 0, 33: 33, 125: 125, 126: 126, 255: 255, 256: 255, -1: 255} {
		if out, got := suiteBox(t, nil).suite(nil, "exit", strconv.Itoa(code)); got != want {
			t.Errorf("exit code %d: got %d, want %d: %s", code, got, want, out)
		}
	}
}

// TestPollOfStandardInput checks that poll waits for standard input while it is a silent pipe, but not if the pipe has ended
// or has bytes. With the fixed clock reads are always ready, since programs must not see anything of the host.
func TestPollOfStandardInput(t *testing.T) {
	for _, c := range []struct {
		name string
		feed func(*os.File)
		real bool
		want string
	}{
		{"silent", func(*os.File) {}, true, "clock"},
		{"bytes", func(w *os.File) { _, _ = w.WriteString("x") }, true, "stdin"},
		{"closed", func(w *os.File) { _ = w.Close() }, true, "stdin"},
		{"fixed clock", func(*os.File) {}, false, "stdin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			c.feed(w)
			if out, exit := suiteBox(t, nil).suite(func(p *wasmrt.Program) { p.Stdin, p.Real = r, c.real }, "poll_oneoff_stdio", c.want); exit != 0 {
				t.Errorf("exit %d\n%s", exit, out)
			}
		})
	}
}

// TestStackInMemoryOverflows checks that a program whose stack is in linear memory, as C's is, reports its overflow.
func TestStackInMemoryOverflows(t *testing.T) {
	code := program(1,
		0x23, 0, 0x41, 0x80, 0x08, 0x6b, 0x24, 0, // decreases the stack pointer by 1024
		0x23, 0, 0x41, 0, 0x36, 2, 0, // stores a value there
		0x10, 1) // recurses
	global := []byte{6, 8, 1, 0x7f, 1, 0x41, 0x80, 0x80, 0x04, 0x0b} // initially the end of the memory
	at := bytes.Index(code, []byte{7, 19, 2, 6, 'm'})
	code = bytes.Join([][]byte{code[:at], global, code[at:]}, nil)
	_, err := run(t, code, nil)
	if want := `program "tiny": stack overflow: the stack in the program's memory is used up; link the program with a larger one (-Wl,-z,stack-size=BYTES), or recurse less`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
