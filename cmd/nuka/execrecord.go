package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/proxy"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// recorded runs a foreign program with a recorder as its only network. What the program downloads is in the store afterwards, so that nuka lock need not download it. The
// program speaks to the registries that it would speak to without nuka, and its lock files name those.
func (a *app) recorded(ctx context.Context, client *control.Client, launcher string, layout *foreign.Layout, box *foreign.Box, words []string, o *execOptions) error {
	if layout.Network {
		return protocol.Errorf(protocol.Invalid, "exec: --record is the program's only network").
			WithHint("leave --allow network out, or name hosts: --allow network=HOST:PORT; nuka permissions set %s --deny network takes a kept permission away", box.App)
	}
	dir, err := os.MkdirTemp("", "nuka-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fetcher := source.New(&source.Options{Client: a.client(), Offline: a.offline})
	session, err := adapters.Open(ctx, fetcher, nil, o.record, &ecosystem.Options{
		Files: &nodeFiles{ctx: ctx, client: client, dir: dir}, Door: ecosystem.DoorProxy, Cooldown: o.rules.cooldown,
		Exempt: func(name string) bool { return slices.Contains(o.rules.exempt, name) }, Allow: ecosystem.AllowHosts(layout.Hosts),
		Memory: ecosystem.NewMemory(filepath.Join(a.home.Cache, ecosystem.MemoryFile)),
	})
	if err != nil {
		return err
	}
	recorder := session.Recorder
	layout.Setup(session.Setup.Env, session.Setup.Files, ecosystem.SetupDir)
	answered := *o
	answered.answer = func(ctx context.Context) (func(*os.File), func()) {
		return proxy.Attach(ctx, session.Serve, a.unreached("registry"))
	}
	err = a.sandboxed(ctx, launcher, layout, box, words, &answered)
	said := recorder.LeftOut()
	refused := recorder.Refusals()
	for _, text := range refused {
		said = append(said, "refused: "+text)
	}
	if err != nil {
		said = append(said, slices.DeleteFunc(recorder.Problems(), func(p string) bool { return slices.Contains(refused, p) })...)
	}
	for _, text := range said {
		a.say("%s", printable(text))
	}
	return err
}

// recordByDefault has a program of a language's runtime record, if the configuration says so and the program has no other network. The command line decides before that.
func (a *app) recordByDefault(c *cobra.Command, layout *foreign.Layout, runtime string, o *execOptions) error {
	settings, err := a.ecosystemSettings()
	if err != nil {
		return err
	}
	if o.record == "" && settings.Record && !c.Flags().Changed("record") && !layout.Network {
		o.record = adapters.OfRuntime(runtime)
	}
	o.rules.configured(c.Flags(), o.record, settings)
	return nil
}

// nodeFiles keeps the files of a recorder in the store of the node, and reads them from there.
type nodeFiles struct {
	ctx    context.Context
	client *control.Client
	dir    string // for what is on its way
}

// Find implements ecosystem.Files.
func (n *nodeFiles) Find(promised pir.Hash) (pir.Hash, int64, bool) {
	id, canonical, err := pir.FetchFile(promised)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	call := protocol.RealizeArgs{Wanted: []pir.PID{id}, Packages: []protocol.Package{{PIR: string(canonical)}}}
	var got protocol.Realized
	if err := n.client.Call(n.ctx, protocol.OpRealize, call, &got, nil); err != nil {
		return pir.Hash{}, 0, false
	}
	return got.File()
}

// Open implements ecosystem.Files.
func (n *nodeFiles) Open(hash pir.Hash) (io.ReadSeekCloser, error) {
	for _, content := range hash.CIDs() {
		f, err := os.CreateTemp(n.dir, "open-")
		if err != nil {
			return nil, err
		}
		err = errors.Join(os.Remove(f.Name()), n.client.Call(n.ctx, protocol.OpRead, protocol.PathArgs{ID: content.String()}, nil, &control.CallOptions{Reply: f}))
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
			return f, err
		}
		f.Close()
		if protocol.CodeOf(err) != protocol.NotFound {
			return nil, err
		}
	}
	return nil, fs.ErrNotExist
}

// Create implements ecosystem.Files.
func (n *nodeFiles) Create() (ecosystem.Writer, error) {
	f, err := os.CreateTemp(n.dir, "new-")
	if err != nil {
		return nil, err
	}
	return &nodeWriter{f, n}, nil
}

// A nodeWriter is a file that the node does not have yet.
type nodeWriter struct {
	*os.File
	of *nodeFiles
}

// Commit implements ecosystem.Writer.
func (w *nodeWriter) Commit(also ...pir.Hash) (pir.Hash, int64, error) {
	size, err := w.Seek(0, io.SeekEnd)
	if err != nil {
		return pir.Hash{}, 0, err
	}
	if _, err := w.Seek(0, io.SeekStart); err != nil {
		return pir.Hash{}, 0, err
	}
	var a protocol.KeepArgs
	for _, h := range also {
		if h.Algorithm == pir.SHA256 || h.Algorithm == pir.SHA512 {
			a.Hashes = append(a.Hashes, h.String())
		}
	}
	var got protocol.Uploaded
	if err := w.of.client.Call(w.of.ctx, protocol.OpKeep, a, &got, &control.CallOptions{Data: w.File}); err != nil {
		return pir.Hash{}, 0, err
	}
	content, err := cid.Parse(got.CID)
	if err != nil {
		return pir.Hash{}, 0, err
	}
	return pir.HashOf(content), size, w.Close()
}

// Close implements ecosystem.Writer.
func (w *nodeWriter) Close() error {
	err := os.Remove(w.Name())
	if errors.Is(err, fs.ErrNotExist) { // it was closed before
		return nil
	}
	return errors.Join(err, w.File.Close())
}
