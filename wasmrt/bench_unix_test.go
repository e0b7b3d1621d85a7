//go:build unix

package wasmrt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cpuTime returns the processor time of this process.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs a command once to load its programs, then once more, and reports the processor time of each of its n steps.
func measure(b *testing.B, h *Host, n int, args ...string) {
	for i := range 2 {
		var out bytes.Buffer
		if i == 1 {
			b.ResetTimer()
		}
		before := cpuTime(b)
		exit, err := h.Exec(b.Context(), &Command{Args: args, Dir: "/d", Env: []string{"PATH=/p/bin"}, Stdout: &out, Stderr: &out})
		if exit != 0 || err != nil {
			b.Fatalf("got %d, %v, %.500s", exit, err, out.String())
		}
		b.ReportMetric(float64(cpuTime(b)-before)/1e6/float64(n), "cpu-ms/op")
	}
}

// programsOf lists the files of a folder for a tree, whose machine code stays loaded.
func programsOf(b *testing.B, bin string) []Entry {
	files, err := os.ReadDir(bin)
	if err != nil {
		b.Fatal(err)
	}
	var list []Entry
	for _, f := range files {
		host, err := filepath.EvalSymlinks(filepath.Join(bin, f.Name()))
		if err != nil {
			b.Fatal(err)
		}
		st, err := os.Stat(host)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, Entry{Path: f.Name(), Kind: KindFile, Exec: true, Size: st.Size(), File: host})
	}
	return list
}

// BenchmarkProcesses measures forks, and starts of programs, with a small program, and with the sh and BusyBox of the folder WASMRT_BIN if that is set.
func BenchmarkProcesses(b *testing.B) {
	b.Run("fork", func(b *testing.B) {
		a := &asm{}
		a.loop(func() {
			a.get(1).i32(int32(b.N)).op(0x4e).when(func() { a.i32(0).exit() })
			a.call("fork").op(0x45).when(func() { a.i32(0).exit() })
			a.i32(-1).i32(0).i32(128).call("wait").drop().add(1, 1)
		})
		code := a.module(strings.Repeat("x", 60_000))
		h := &Host{Limits: Limits{Total: 1 << 40}}
		if exit, out, err := runAsm(b, h, code); exit != 0 || err != nil {
			b.Fatal(exit, out, err)
		}
		measure(b, h, b.N, "it")
	})
	bin := os.Getenv("WASMRT_BIN")
	if bin == "" {
		return
	}
	for _, c := range []struct{ name, body string }{
		{"sh: nothing", ":"},
		{"sh: subshell", "(:)"},
		{"sh: start true", "/p/bin/true"},
		{"sh: three in a pipeline", "echo a | sed s/a/b/ | cat >/dev/null"},
	} {
		b.Run(c.name, func(b *testing.B) {
			rt, err := New(b.Context(), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { rt.Close(b.Context()) })
			tree, err := NewTree(slices.Values(programsOf(b, bin)))
			if err != nil {
				b.Fatal(err)
			}
			work, err := OpenDir(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { work.Close() })
			h := &Host{Runtime: rt, Path: []string{"/p/bin"}, Limits: Limits{Total: 1 << 40, Running: 2}}
			if h.FS, err = NewFS(Mount{Path: "/p/bin", Tree: tree}, Mount{Path: "/d", Dir: work}); err != nil {
				b.Fatal(err)
			}
			measure(b, h, b.N, "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s; i=$((i+1)); done", b.N, c.body))
		})
	}
}
