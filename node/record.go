package node

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// maxYoung bounds how many versions that are left out the error of a recording names.
const maxYoung = 20

// record answers OpRecord: it builds a package once while a recorder answers the package manager, and returns the recording.
func (h *handler) record(ctx context.Context, r *request, a protocol.RecordArgs) (*protocol.Recorded, error) {
	registries, err := registriesOf(a.RealizeArgs, r.Here)
	if err != nil {
		return nil, err
	}
	if err := a.Receive(r.Data); err != nil {
		return nil, err
	}
	lease := h.store.Lease("a recording")
	defer lease.Release()
	dir, err := os.MkdirTemp(h.realizer.WorkDir(), "record-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	session, err := h.recorder(ctx, &a, registries, &storeFiles{ctx: ctx, h: h, dir: dir, lease: lease})
	if err != nil {
		return nil, err
	}
	recorder := session.Recorder
	err = h.realizer.Record(ctx, &realize.Request{
		Registries: registries, Lease: lease, Wanted: a.Wanted, Packages: a.Packages, Local: r.Local, Event: r.Event,
		Jobs: a.Jobs, Cores: a.Cores, KeepFailed: a.KeepFailed,
	}, &realize.Registry{
		Handler: session.Handler, Setup: session.Setup, Refusals: session.Refusals,
		Sources: func(ctx context.Context, sources []cid.CID) error { return h.readLocks(ctx, session, sources) },
	})
	problems := recorder.Problems()
	if err != nil {
		e := protocol.AsError(err)
		young := recorder.LeftOut() // which the package manager does not know of
		if len(young) > maxYoung {
			young = append(young[:maxYoung:maxYoung], fmt.Sprintf("and %d more versions that are left out", len(young)-maxYoung))
		}
		for _, p := range append(problems, young...) {
			e.Message += "\n  " + p
		}
		return nil, e
	}
	recording, err := recorder.Recording()
	if err != nil {
		return nil, err
	}
	recording.Setup = session.Recorded
	text, err := recording.Encode()
	if err != nil {
		return nil, err
	}
	var kept []pir.PID
	for _, f := range recording.Files() {
		id, _, err := pir.FetchFile(f.Hash)
		if err != nil {
			return nil, err
		}
		kept = append(kept, id)
	}
	h.keepForCaller(r, "a command that has recorded it").KeepPIDs(kept...)
	return &protocol.Recorded{Text: string(text), Problems: problems, LeftOut: recorder.LeftOut(), Refused: recorder.Refusals()}, nil
}

// keep answers OpKeep.
func (h *handler) keep(ctx context.Context, r *request, a protocol.KeepArgs) (*protocol.Uploaded, error) {
	dir, err := os.MkdirTemp(h.realizer.WorkDir(), "keep-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, source.Out))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wanted := make([]pir.Hash, len(a.Hashes))
	checks := make([]hash.Hash, len(a.Hashes))
	to := []io.Writer{f}
	for i, text := range a.Hashes {
		want, err := pir.ParseHash(text)
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "keep: %w", err)
		}
		wanted[i] = want
		switch want.Algorithm {
		case pir.SHA256:
			checks[i] = sha256.New()
		case pir.SHA512:
			checks[i] = sha512.New()
		default:
			return nil, protocol.Errorf(protocol.Invalid, "keep: a file is compared with sha256 and sha512 only, not %s", want.Algorithm)
		}
		to = append(to, checks[i])
	}
	if _, err := io.Copy(io.MultiWriter(to...), &contextReader{ctx, r.Data}); err != nil {
		return nil, err
	}
	for i, want := range wanted {
		if got := pir.NewHash(want.Algorithm, checks[i].Sum(nil)); got != want {
			return nil, protocol.Errorf(protocol.Mismatch, "keep: the file has the hash %s, not %s", got, want)
		}
	}
	content, err := h.realizer.Keep(ctx, dir, source.Out, h.keepForCaller(r, "a command that records"), wanted...)
	if err != nil {
		return nil, err
	}
	return &protocol.Uploaded{CID: content.String()}, nil
}

// recorder returns the session of a call, which records for the ecosystem that the open recording of the wanted build names, before the registries of the user's clients. The
// caller removes the folder of the files.
func (h *handler) recorder(ctx context.Context, a *protocol.RecordArgs, registries *source.Registries, files *storeFiles) (*adapters.Session, error) {
	name, door, err := openRecording(a)
	if err != nil {
		return nil, err
	}
	return adapters.Open(ctx, h.fetcher, registries, name, &ecosystem.Options{
		Files: files, Door: door, Log: h.log, Memory: ecosystem.NewMemory(filepath.Join(h.home.Cache, ecosystem.MemoryFile)),
		Cooldown: a.Cooldown, Exempt: func(name string) bool { return slices.Contains(a.Exempt, name) },
		Allow: ecosystem.AllowHosts(a.Hosts),
	})
}

// lockFiles are the lock files of projects that adapters read.
var lockFiles = []string{"Cargo.lock", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "go.sum", "uv.lock"}

// readLocks tells the recorder of a session what the lock files of the build's sources promise.
func (h *handler) readLocks(ctx context.Context, s *adapters.Session, sources []cid.CID) error {
	locker, ok := s.Adapter.(ecosystem.Locker)
	if !ok {
		return nil
	}
	for _, root := range sources {
		for _, name := range lockFiles {
			at, err := h.store.Lookup(ctx, root, name)
			if err != nil || at.Kind != cas.File || at.Size > ecosystem.MaxRecording {
				continue // it has none
			}
			f, err := h.store.OpenFile(ctx, at.CID)
			if err != nil {
				return cas.Coded(err)
			}
			text, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				return err
			}
			list, err := locker.Locked(name, text, s.Recorder.Request)
			if err != nil {
				return protocol.Errorf(protocol.Invalid, "%s of the source: %w", name, err)
			}
			s.Recorder.Lock(list)
		}
	}
	return nil
}

// openRecording finds what the wanted build is to record.
func openRecording(a *protocol.RecordArgs) (name string, door ecosystem.Door, err error) {
	known := map[pir.PID]*pir.PIR{}
	for _, p := range a.Packages {
		decoded, err := pir.Decode([]byte(p.PIR))
		if err != nil {
			return "", "", protocol.Errorf(protocol.Invalid, "record: %w", err)
		}
		known[pir.Sum([]byte(p.PIR))] = decoded
	}
	if len(a.Wanted) == 1 && known[a.Wanted[0]] != nil {
		if p := known[known[a.Wanted[0]].Recording]; p != nil {
			if name, door, ok := ecosystem.Opened(p); ok {
				return name, door, nil
			}
		}
	}
	return "", "", protocol.Errorf(protocol.Invalid, "record: the wanted build has no open recording")
}

// storeFiles keeps the files of a recorder in the store.
type storeFiles struct {
	ctx   context.Context
	h     *handler
	dir   string // for what is being written
	lease *cas.Lease
}

// Find implements ecosystem.Files: the store has the file, or a peer that the policy trusts says which content the hash has and sends it.
func (s *storeFiles) Find(promised pir.Hash) (pir.Hash, int64, bool) {
	id, canonical, err := pir.FetchFile(promised)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	s.lease.KeepPIDs(id)
	got, err := s.h.realizer.Realize(s.ctx, &realize.Request{Wanted: []pir.PID{id}, Packages: []protocol.Package{{PIR: string(canonical)}}, Lease: s.lease, Local: true})
	if err != nil {
		return pir.Hash{}, 0, false
	}
	return got.File()
}

// Open implements ecosystem.Files.
func (s *storeFiles) Open(hash pir.Hash) (io.ReadSeekCloser, error) {
	for _, content := range hash.CIDs() {
		f, err := s.h.store.OpenFile(s.ctx, content)
		if !errors.Is(err, cas.ErrNotFound) {
			return f, err
		}
	}
	return nil, fs.ErrNotExist
}

// Create implements ecosystem.Files.
func (s *storeFiles) Create() (ecosystem.Writer, error) {
	f, err := os.CreateTemp(s.dir, "file-")
	if err != nil {
		return nil, err
	}
	return &storeWriter{File: f, of: s}, nil
}

// A storeWriter is a file that the store does not have yet.
type storeWriter struct {
	*os.File
	of   *storeFiles
	done bool
}

// Commit implements ecosystem.Writer.
func (w *storeWriter) Commit(also ...pir.Hash) (pir.Hash, int64, error) {
	content, err := w.of.h.realizer.Keep(w.of.ctx, w.of.dir, filepath.Base(w.Name()), w.of.lease, also...)
	if err != nil {
		return pir.Hash{}, 0, err
	}
	info, err := w.Stat()
	if err != nil {
		return pir.Hash{}, 0, err
	}
	return pir.HashOf(content), info.Size(), w.Close()
}

// Close implements ecosystem.Writer.
func (w *storeWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.File.Close(), os.Remove(w.Name()))
}
