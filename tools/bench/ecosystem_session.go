package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/ecosystem/cargo"
	"github.com/MordragT/nuka/ecosystem/gomod"
	"github.com/MordragT/nuka/ecosystem/maven"
	"github.com/MordragT/nuka/ecosystem/npm"
	"github.com/MordragT/nuka/ecosystem/pip"
	"github.com/MordragT/nuka/source"
)

// A recorded is what one recording did.
type recorded struct {
	sample    // of the client and the recorder together; wall time includes the writing of the recording
	recording *ecosystem.Recording
	requests  int64 // of the client
	up        asked
	downloads int   // files that were received from registries
	text      int   // bytes of the recording
	size      int64 // bytes of its files
}

// asked is what a recorder asked of registries.
type asked struct{ requests, bytes int64 }

// counted is a http.RoundTripper that counts.
type counted struct {
	http.RoundTripper
	requests, bytes atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	res, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = &countedBody{res.Body, &c.bytes}
	}
	return res, err
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// countedFiles counts the files that are received.
type countedFiles struct {
	ecosystem.Files
	created atomic.Int64
}

func (f *countedFiles) Create() (ecosystem.Writer, error) {
	f.created.Add(1)
	return f.Files.Create()
}

// upstreams asks the clients of an adapter for their registries, once.
func (b *bench) upstreams(a ecosystem.Adapter) ([]ecosystem.Upstream, error) {
	if known, ok := b.registries[a.Name()]; ok {
		return known, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	client := &source.Client{Home: home, System: "/", Getenv: os.Getenv, Run: source.RunClient}
	up, err := adapters.Upstreams(context.Background(), source.New(&source.Options{Client: client}), a, nil)
	if err != nil {
		return nil, err
	}
	if b.registries == nil {
		b.registries = map[string][]ecosystem.Upstream{}
	}
	b.registries[a.Name()] = up
	return up, nil
}

// record installs a project through a recorder, which keeps files in a folder.
func (b *bench) record(c *client, p *place, folder *ecosystem.Folder) (*recorded, error) {
	a, err := adapters.Named(c.adapter)
	if err != nil {
		return nil, err
	}
	door, err := adapters.Door(a, "")
	if err != nil {
		return nil, err
	}
	up, err := b.upstreams(a)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	base := "http://" + l.Addr().String()
	transport, files := &counted{RoundTripper: ecosystem.NewTransport(up)}, &countedFiles{Files: folder}
	rec, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: a, Upstreams: up, Files: files, Door: door, Base: base, Transport: transport,
		Memory: ecosystem.NewMemory(filepath.Join(folder.Dir(), ecosystem.MemoryFile))})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := locked(a, rec, p.project); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	t, err := p.pointed(c, a.Setup(door, base, up))
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	out := &recorded{}
	before, start := selfCPU(), time.Now()
	if out.sample, out.requests, err = served(l, rec, t); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, strings.Join(rec.Problems(), "\n"))
	}
	out.downloads = int(files.created.Load())
	out.up = asked{transport.requests.Load(), transport.bytes.Load()}
	if out.recording, err = rec.Recording(); err != nil {
		return nil, err
	}
	text, err := out.recording.Encode()
	if err != nil {
		return nil, err
	}
	out.wall, out.cpu, out.text = time.Since(start), out.cpu+selfCPU()-before, len(text)
	for _, f := range out.recording.Files() {
		out.size += f.Size
	}
	gone := slices.Clone(up) // a replay knows no registry
	for i := range gone {
		gone[i].URL, gone[i].Header = "", nil
	}
	out.recording.Setup = a.Setup(door, ecosystem.Base, gone)
	return out, nil
}

// locked tells a recorder what the lock files of a project promise.
func locked(a ecosystem.Adapter, rec *ecosystem.Recorder, project string) error {
	reader, ok := a.(ecosystem.Locker)
	if !ok {
		return nil
	}
	list, err := os.ReadDir(project)
	if err != nil {
		return err
	}
	for _, file := range list {
		if !file.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(project, file.Name()))
		if err != nil {
			return err
		}
		found, err := reader.Locked(file.Name(), text, rec.Request)
		if err != nil {
			return err
		}
		rec.Lock(found)
	}
	return nil
}

// replay installs a project from a recording, where nothing but the replayer can be reached.
func (b *bench) replay(c *client, p *place, s *shared) (one sample, err error) {
	session, err := adapters.Replay(s.recording, s.files.Open)
	if err != nil {
		return one, err
	}
	t, err := p.pointed(c, session.Setup)
	if err != nil {
		return one, err
	}
	before := selfCPU()
	err = lonely(strings.TrimPrefix(ecosystem.Base, "http://"), func(l net.Listener) error {
		one, _, err = served(l, session.Handler, t)
		return err
	})
	one.cpu += selfCPU() - before
	return one, err
}

// served runs a client while h answers at l.
func served(l net.Listener, h http.Handler, t task) (s sample, requests int64, err error) {
	var count atomic.Int64
	counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		h.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ecosystem.Serve(ctx, l, counting) }()
	s, err = t.measure()
	cancel()
	return s, count.Load(), errors.Join(err, <-ended)
}

// pointed returns the install of a client with a setup, whose paths are those of a sandbox.
func (p *place) pointed(c *client, setup ecosystem.Setup) (task, error) {
	paths := strings.NewReplacer(ecosystem.SetupDir, p.setup, pip.Cache, p.cache, npm.Cache, p.cache, cargo.Home, p.cache, gomod.Cache, p.cache, maven.Cache, p.cache)
	for name, text := range setup.Files {
		at := filepath.Join(p.setup, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(paths.Replace(text)), 0o644)); err != nil {
			return task{}, err
		}
	}
	if text, ok := setup.Files[cargo.Config]; ok {
		if err := os.WriteFile(filepath.Join(p.cache, "config.toml"), []byte(paths.Replace(text)), 0o644); err != nil {
			return task{}, err
		}
	}
	t := p.task(c, c.install(p)...)
	t.env = append(t.env, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	for name, value := range setup.Env {
		t.env = append(t.env, name+"="+paths.Replace(value))
	}
	return t, nil
}

// listening calls f with a listener, which f closes; nil if address is "".
func listening(address string, f func(net.Listener) error) error {
	if address == "" {
		return f(nil)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return f(l)
}
