package worker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
)

// archiveIn writes a tar with the given entries, and returns its path and that of an empty folder.
func archiveIn(t *testing.T, headers ...tar.Header) (path, out string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 1
		}
		err := w.WriteHeader(&h)
		if err == nil && h.Size == 1 {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path, out = filepath.Join(dir, "archive"), filepath.Join(dir, "out")
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o600), os.Mkdir(out, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path, out
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestUnpackWorker(t *testing.T) {
	path, out := archiveIn(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "p/bin/x", Mode: 0o4755}, tar.Header{Typeflag: tar.TypeSymlink, Name: "p/l", Linkname: "/etc/passwd"},
		tar.Header{Typeflag: tar.TypeReg, Name: "p/bin/y", Mode: 0o644}, tar.Header{Typeflag: tar.TypeReg, Name: "p/bin/y", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeLink, Name: "p/z", Linkname: "p/bin/x"}, tar.Header{Typeflag: tar.TypeFifo, Name: "p/f"})
	u := &Unpacker{Log: quiet()}
	got, err := u.Unpack(t.Context(), path, out, &archive.Options{Strip: 1})
	if err != nil || len(got.LeftOut) != 1 || !strings.Contains(got.LeftOut[0], `"f"`) {
		t.Fatalf("got %+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(out, "bin", "x"))
	if err != nil || info.Mode().Perm()&0o111 == 0 || info.Mode()&os.ModeSetuid != 0 {
		t.Errorf("got %v, %v; want an executable", info, err)
	}
	if target, err := os.Readlink(filepath.Join(out, "l")); err != nil || target != "/etc/passwd" {
		t.Errorf("got a link to %q, %v", target, err)
	}

	path, out = archiveIn(t, tar.Header{Typeflag: tar.TypeReg, Name: "../x"})
	_, err = u.Unpack(t.Context(), path, out, &archive.Options{})
	if e := protocol.AsError(err); e == nil || e.Code != protocol.Invalid || e.Hint == "" || !strings.Contains(e.Message, "../x") {
		t.Errorf("got %v, want the worker's own refusal", err)
	}
}

// TestUnpackWorkerControl checks that the worker learns that the control archive is wanted.
func TestUnpackWorkerControl(t *testing.T) {
	dir := t.TempDir()
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, m := range []struct{ name, file string }{{"debian-binary", ""}, {"control.tar", "control"}, {"data.tar", "usr"}} {
		body := bytes.NewBufferString("2.0\n")
		if m.file != "" {
			body.Reset()
			w := tar.NewWriter(body)
			if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./" + m.file, Mode: 0o644}), w.Close()); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", body.Len())
		deb.Write(body.Bytes())
	}
	path := filepath.Join(dir, "archive")
	if err := os.WriteFile(path, deb.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, control := range []bool{false, true} {
		out := filepath.Join(dir, fmt.Sprint(control))
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := (&Unpacker{Log: quiet()}).Unpack(t.Context(), path, out, &archive.Options{Deb: true, Control: control}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(out, "DEBIAN", "control")); (err == nil) != control {
			t.Errorf("control %v: %v", control, err)
		}
	}
}

// TestUnpackWorkerSubmodules unpacks a git pack, and checks that the worker reports the submodules of the tree.
func TestUnpackWorkerSubmodules(t *testing.T) {
	dir := t.TempDir()
	git := func(stdin string, args ...string) []byte {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e"}, args...)...)
		c.Env, c.Stdin = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir), strings.NewReader(stdin)
		text, err := c.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return text
	}
	git("", "init", "-q")
	git("", "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",lib/sub")
	git("", "commit", "-q", "-m", "m")
	commit := strings.TrimSpace(string(git("", "rev-parse", "HEAD")))
	path, out := filepath.Join(dir, "pack"), filepath.Join(dir, "out")
	c := git(commit+"\n", "pack-objects", "-q", "--revs", "--stdout")
	if err := errors.Join(os.WriteFile(path, c, 0o600), os.Mkdir(out, 0o755)); err != nil {
		t.Fatal(err)
	}
	u := &Unpacker{Log: quiet()}
	got, err := u.Unpack(t.Context(), path, out, &archive.Options{Commit: commit})
	want := []archive.Submodule{{Path: "lib/sub", Commit: strings.Repeat("1", 40)}}
	if err != nil || !slices.Equal(got.Submodules, want) || got.Entries != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestUnpackWorkerFails has workers that behave as if an archive had hit a fault in a decompressor: one hangs, one ends.
func TestUnpackWorkerFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the workers of this test are of the shell")
	}
	path, out := archiveIn(t, tar.Header{Typeflag: tar.TypeReg, Name: "x"})
	for name, tt := range map[string]struct {
		script string
		code   protocol.Code
		says   string
	}{
		"hangs":   {"exec sleep 600", protocol.Exhausted, "no progress"},
		"ends":    {"head -c 10 >/dev/null; sleep 0.2; echo 'panic: a fault' >&2; exit 2", protocol.Failed, "a fault"},
		"garbage": {"printf 'garbage garbage garbage'; exec sleep 600", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := &Unpacker{program: "/bin/sh", args: []string{"-c", tt.script}, stall: 500 * time.Millisecond, Log: quiet()}
			begin := time.Now()
			_, err := u.Unpack(t.Context(), path, out, &archive.Options{})
			if err == nil || tt.code != "" && (protocol.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want %s: %s", err, tt.code, tt.says)
			}
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	u := &Unpacker{program: "/bin/sh", args: []string{"-c", "exec sleep 600"}, Log: quiet()}
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := u.Unpack(ctx, path, out, &archive.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to be canceled", err)
	}
}
