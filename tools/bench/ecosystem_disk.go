package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/pip"
)

const (
	likeTrees = 10
	passed    = 2 << 30  // bytes of the file that passes through the recorder
	passedLow = 64 << 20 // and of the one that it is compared with
)

// disks measures the disk of ten environments of one project in a store, beside what uv and pnpm take for them with their own stores and hard links.
func (b *bench) disks() error {
	if c := b.uv(); c.missing == "" {
		if err := b.disk(c, "uv", b.environments); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(os.Stderr, "bench: disk of uv is left out: %s\n", c.missing)
	}
	if b.pnpm == "" {
		fmt.Fprintln(os.Stderr, "bench: disk of pnpm is left out: it is not installed")
		return nil
	}
	return b.disk(npmClient(), "pnpm", b.projects)
}

// environments makes virtual environments with uv and one cache.
func (b *bench) environments(c *client, p *place) (trees []string, err error) {
	uv := filepath.Join(b.python, "bin", "uv")
	for i := range likeTrees {
		tree := filepath.Join(p.target, fmt.Sprint("env", i))
		if err := p.steps(c, []string{uv, "venv", "-q", "--python", filepath.Join(b.python, "bin", "python"), tree},
			[]string{uv, "pip", "install", "-q", "--link-mode", "hardlink", "--python", filepath.Join(tree, "bin", "python"), "-r", "requirements.txt"}); err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// projects makes projects with pnpm and one store.
func (b *bench) projects(c *client, p *place) (trees []string, err error) {
	for i := range likeTrees {
		tree := filepath.Join(p.target, fmt.Sprint("project", i))
		if err := errors.Join(os.MkdirAll(p.target, 0o755), os.CopyFS(tree, os.DirFS(p.project))); err != nil {
			return nil, err
		}
		t := p.task(c, b.pnpm, "install", "--silent", "--package-import-method", "hardlink", "--store-dir", p.cache)
		t.dir = tree
		if _, err := t.measure(); err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

func (b *bench) disk(c *client, name string, create func(*client, *place) ([]string, error)) error {
	p, err := b.place(c, "")
	if err != nil {
		return err
	}
	defer p.remove()
	if err := c.lock(p, false); err != nil {
		return err
	}
	remove(p.target) // of the lock
	remove(p.cache)
	trees, err := create(c, p)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	store := filepath.Join(p.setup, "store")
	for _, tree := range trees {
		if _, err := (task{args: []string{self, "import", store, tree}}).measure(); err != nil {
			return err
		}
	}
	ours, err := diskUse(store)
	if err != nil {
		return err
	}
	reserve, err := diskUse(filepath.Join(store, "ballast"))
	if err != nil {
		return err
	}
	theirs, err := diskUse(append([]string{p.cache}, trees...)...)
	if err != nil {
		return err
	}
	one, err := diskUse(trees[0])
	if err != nil {
		return err
	}
	ratio := float64(ours) / float64(theirs)
	what := fmt.Sprintf("disk of %d environments of %.1f MB", likeTrees, float64(one)/1e6)
	b.table.add(what, fmt.Sprintf("%.1f MB", float64(ours)/1e6), name+", cache and hard links", fmt.Sprintf("%.1f MB", float64(theirs)/1e6), fmt.Sprintf("%.2f×", ratio), fmt.Sprintf("≤ %.1f×", mostDisk), met(ratio <= mostDisk))
	rest := ours - reserve
	b.table.add("… without the room that a store keeps for a full disk", fmt.Sprintf("%.1f MB", float64(rest)/1e6), name+", cache and hard links", fmt.Sprintf("%.1f MB", float64(theirs)/1e6), fmt.Sprintf("%.2f×", float64(rest)/float64(theirs)))
	return nil
}

// diskUse returns the blocks that folders take on the disk together, in bytes. A file with several names counts once.
func diskUse(dirs ...string) (int64, error) {
	out, err := exec.Command("du", append([]string{"-c", "-s", "-k"}, dirs...)...).Output()
	if err != nil {
		return 0, fmt.Errorf("du: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	kib, _, _ := strings.Cut(lines[len(lines)-1], "\t")
	n, err := strconv.ParseInt(kib, 10, 64)
	return n << 10, err
}

// passing measures the memory of a process with a recorder while a large file passes, beside that with a small one.
func (b *bench) passing() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(filepath.Base(filepath.Dir(r.URL.Path)), 10, 64)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for n := int64(0); n < size; n += int64(len(chunk)) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	var got []sample
	for _, size := range []int64{passedLow, passed} {
		dir := filepath.Join(b.dir, "passing")
		one, err := task{args: []string{self, "pass", fmt.Sprintf("%s/%d", s.URL, size), dir}}.measure()
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(one.out, &one.memory); err != nil {
			return fmt.Errorf("the recorder printed %q: %w", one.out, err)
		}
		remove(dir)
		got = append(got, one)
	}
	grown := got[1].memory - got[0].memory
	b.table.add(fmt.Sprintf("recorder, a file of %s passes", mib(passed)), round(got[1].wall), "a file of "+mib(passedLow), round(got[0].wall), "", "≤ 8 MiB more", met(grown <= 8<<20), memory(got[1:]), memory(got[:1]))
	return nil
}

// peak returns the largest resident memory of this process, in bytes. The one that wait4 tells of a child includes the memory of the parent that started it.
func peak() int64 {
	text, _ := os.ReadFile("/proc/self/status") // not there: 0
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

// passChild has one file of a registry pass through a recorder, which keeps it in a folder, and prints the peak of its memory.
func passChild(registry, dir string) error {
	folder, err := ecosystem.NewFolder(dir)
	if err != nil {
		return err
	}
	rec, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: pip.Adapter{}, Upstreams: []ecosystem.Upstream{{Alias: "pypi", Kind: pip.Kind, URL: registry}}, Files: folder})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ecosystem.Serve(ctx, l, rec) }()
	res, err := http.Get("http://" + l.Addr().String() + "/pypi/six-1.0.tar.gz")
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, res.Body)
		if res.Body.Close(); err == nil && (res.StatusCode != http.StatusOK || n != res.ContentLength) {
			err = fmt.Errorf("got %s and %d of %d bytes: %s", res.Status, n, res.ContentLength, rec.Problems())
		}
	}
	cancel()
	fmt.Println(peak())
	return errors.Join(err, <-ended)
}
