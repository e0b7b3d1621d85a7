package node

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// tarOf makes an archive of entries, each with as many bytes as its header says.
func tarOf(t *testing.T, list ...*tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// The upload of a light peer with a ticket has the same bounds as an archive.
func TestUploadLimits(t *testing.T) {
	file := func(name string, size int64) *tar.Header {
		return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}
	}
	top := &tar.Header{Name: "out", Typeflag: tar.TypeDir, Mode: 0o755}
	limits := &uploadLimits{bytes: 1000, entries: 4, names: 100}
	for name, c := range map[string]struct {
		list []*tar.Header
		want bool
	}{
		"fits":    {[]*tar.Header{top, file("out/a", 500), file("out/b", 500)}, true},
		"bytes":   {[]*tar.Header{top, file("out/a", 500), file("out/b", 501)}, false},
		"entries": {[]*tar.Header{top, file("out/a", 0), file("out/b", 0), file("out/c", 0), file("out/d", 0)}, false},
		"names":   {[]*tar.Header{top, file("out/"+strings.Repeat("n", 99), 0)}, false},
		"links":   {[]*tar.Header{top, {Name: "out/l", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("n", 99)}}, false},
		"outside": {[]*tar.Header{top, file("out/../../x", 1)}, false},
		"device":  {[]*tar.Header{top, {Name: "out/d", Typeflag: tar.TypeChar}}, false},
	} {
		if err := unpackUpload(t.Context(), t.TempDir(), tarOf(t, c.list...), limits); (err == nil) != c.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A sparse entry of an archive stands for any number of zeros. Each of the three ways to write one is refused before a byte is written.
func TestUploadSparse(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("GNU tar makes sparse archives")
	}
	for _, format := range []string{"--format=gnu", "--sparse-version=0.0", "--sparse-version=1.0"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "out", "x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("tar", "--format=posix", format, "-S", "-cf", "t.tar", "out")
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		archive, err := os.ReadFile(filepath.Join(dir, "t.tar"))
		if err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		if err := unpackUpload(t.Context(), to, bytes.NewReader(archive), &ownUpload); err == nil {
			t.Errorf("%s: %d bytes made a file of 1 GiB", format, len(archive))
		}
		if info, err := os.Stat(filepath.Join(to, "out", "x")); err == nil {
			t.Errorf("%s: %d bytes were written", format, info.Size())
		}
	}
}

// An upload ends with its call, also one whose bytes never end.
func TestUploadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		b := tarOf(t, &tar.Header{Name: "out", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 16})
		_, _ = w.Write(b.Bytes()[:40000])
		cancel()
		for {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
		}
	}()
	err := unpackUpload(ctx, t.TempDir(), r, &ownUpload)
	r.Close()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if err := unpackUpload(t.Context(), t.TempDir(), io.MultiReader(tarOf(t, &tar.Header{Name: "out", Typeflag: tar.TypeDir}), zeros{}), &ownUpload); err != nil {
		t.Logf("zeros without end behind an archive: %v", err)
	}
}

// Every call that a right allows has bounds on its time and number, and, if it carries bytes, on those.
func TestForeignLimits(t *testing.T) {
	for _, op := range protocolOps(t) {
		limit, bounded := foreignLimits[op]
		if allowed := protocol.Allows(protocol.Rights(), op); allowed != bounded {
			t.Errorf("%s: allowed %v, bounded %v", op, allowed, bounded)
		}
		if bounded && (limit.time <= 0 || limit.atOnce <= 0) {
			t.Errorf("%s: got %+v", op, limit)
		}
	}
	var f foreignCalls
	call := func() *control.Call {
		return &control.Call{Op: protocol.OpUpload, Data: zeros{}, Reply: io.Discard}
	}
	var releases []func()
	for range foreignLimits[protocol.OpUpload].atOnce {
		_, release, err := f.begin(t.Context(), "a", call())
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, _, err := f.begin(t.Context(), "a", call()); protocol.CodeOf(err) != protocol.Busy {
		t.Errorf("one call too many: got %v, want Busy", err)
	}
	c := call()
	ctx, release, err := f.begin(t.Context(), "b", c)
	if err != nil {
		t.Fatalf("another ticket: %v", err)
	}
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > foreignLimits[protocol.OpUpload].time {
		t.Errorf("got deadline %s, %v", deadline, ok)
	}
	c.Data.(*bounded.Reader).Left = 100
	if n, err := io.Copy(io.Discard, c.Data); protocol.CodeOf(err) != protocol.Exhausted || n > 100 {
		t.Errorf("bytes without end: %d, %v; want Exhausted", n, err)
	}
	c.Reply.(*boundedWriter).left = 100
	if _, err := fmt.Fprint(c.Reply, strings.Repeat("x", 101)); protocol.CodeOf(err) != protocol.Exhausted {
		t.Errorf("got %v, want Exhausted", err)
	}
	release()
	for _, r := range releases {
		r()
	}
	if len(f.running) > 0 {
		t.Errorf("calls are counted that have ended: %v", f.running)
	}
}
