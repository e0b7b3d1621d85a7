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
	setting, err := h.recorder(ctx, &a, registries, lease)
	if err != nil {
		return nil, err
	}
	defer setting.files.close()
	err = h.realizer.Record(ctx, &realize.Request{
		Registries: registries, Lease: lease, Wanted: a.Wanted, Packages: a.Packages, Local: r.Local, Event: r.Event,
		Jobs: a.Jobs, Cores: a.Cores, KeepFailed: a.KeepFailed,
	}, &realize.Registry{Handler: setting.session.Handler, Setup: setting.session.Setup, Sources: setting.lock, Refusals: setting.session.Refusals})
	problems := setting.recorder.Problems()
	if err != nil {
		e := protocol.AsError(err)
		young := setting.recorder.LeftOut() // which the package manager does not know of
		if len(young) > maxYoung {
			young = append(young[:maxYoung:maxYoung], fmt.Sprintf("and %d more versions that are left out", len(young)-maxYoung))
		}
		for _, p := range append(problems, young...) {
			e.Message += "\n  " + p
		}
		return nil, e
	}
	recording, err := setting.recorder.Recording()
	if err != nil {
		return nil, err
	}
	recording.Setup = setting.session.Recorded
	text, err := recording.Encode()
	if err != nil {
		return nil, err
	}
	var kept []pir.PID
	for _, f := range recording.Files() {
		canonical, err := (&pir.PIR{Kind: pir.Fetch, Hash: f.Hash, Unpack: pir.UnpackFile}).Encode()
		if err != nil {
			return nil, err
		}
		kept = append(kept, pir.Sum(canonical))
	}
	h.keepForCaller(r, "a command that has recorded it").KeepPIDs(kept...)
	return &protocol.Recorded{Text: string(text), Problems: problems, LeftOut: setting.recorder.LeftOut(), Refused: setting.recorder.Refusals()}, nil
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

// A recordSetting is what one recording needs.
type recordSetting struct {
	recorder *ecosystem.Recorder
	session  *adapters.Session
	adapter  ecosystem.Adapter
	files    *storeFiles
}

// recorder returns the recorder of a call: for the ecosystem that the open recording of the wanted build names, and the registries of the user's clients.
func (h *handler) recorder(ctx context.Context, a *protocol.RecordArgs, registries *source.Registries, lease *cas.Lease) (*recordSetting, error) {
	name, door, err := openRecording(a)
	if err != nil {
		return nil, err
	}
	adapter, err := adapters.Named(name)
	if err != nil {
		return nil, err
	}
	door, err = adapters.Door(adapter, door)
	if err != nil {
		return nil, err
	}
	upstreams, err := adapters.Upstreams(ctx, h.fetcher, adapter, registries)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(h.realizer.WorkDir(), "record-")
	if err != nil {
		return nil, err
	}
	files := &storeFiles{ctx: ctx, h: h, dir: dir, lease: lease}
	recorder, err := ecosystem.NewRecorder(&ecosystem.Options{
		Adapter: adapter, Upstreams: upstreams, Files: files, Door: door, Log: h.log,
		Cooldown: a.Cooldown, Exempt: func(name string) bool { return slices.Contains(a.Exempt, name) },
		Allow: ecosystem.AllowHosts(a.Hosts),
	})
	if err != nil {
		files.close()
		return nil, err
	}
	session, err := adapters.Record(adapter, door, upstreams, recorder)
	if err != nil {
		files.close()
		return nil, err
	}
	return &recordSetting{recorder, session, adapter, files}, nil
}

// lockFiles are the lock files of projects that adapters read.
var lockFiles = []string{"Cargo.lock", "package-lock.json", "npm-shrinkwrap.json", "go.sum", "uv.lock", "requirements.txt"}

// lock tells the recorder what the lock files of the build's sources promise.
func (s *recordSetting) lock(ctx context.Context, sources []cid.CID) error {
	locker, ok := s.adapter.(ecosystem.Locker)
	if !ok {
		return nil
	}
	store := s.files.h.store
	for _, root := range sources {
		for _, name := range lockFiles {
			at, err := store.Lookup(ctx, root, name)
			if err != nil || at.Kind != cas.File || at.Size > ecosystem.MaxRecording {
				continue // it has none
			}
			f, err := store.OpenFile(ctx, at.CID)
			if err != nil {
				return cas.Coded(err)
			}
			text, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				return err
			}
			list, err := locker.Locked(name, text, s.recorder.Request)
			if err != nil {
				return protocol.Errorf(protocol.Invalid, "%s of the source: %w", name, err)
			}
			s.recorder.Lock(list)
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

func (s *storeFiles) close() { os.RemoveAll(s.dir) }

// fetchOf returns the PID of the fetch that names a file by a hash.
func fetchOf(h pir.Hash) (pir.PID, []byte, error) {
	canonical, err := (&pir.PIR{Kind: pir.Fetch, Hash: h, Unpack: pir.UnpackFile}).Encode()
	return pir.Sum(canonical), canonical, err
}

// Find implements ecosystem.Files: the store has the file, or a peer that the policy trusts says which content the hash has and sends it.
func (s *storeFiles) Find(promised pir.Hash) (pir.Hash, int64, bool) {
	id, canonical, err := fetchOf(promised)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	s.lease.KeepPIDs(id)
	got, err := s.h.realizer.Realize(s.ctx, &realize.Request{Wanted: []pir.PID{id}, Packages: []protocol.Package{{PIR: string(canonical)}}, Lease: s.lease, Local: true})
	if err != nil || len(got.Outputs) != 1 {
		return pir.Hash{}, 0, false
	}
	content, err := cid.Parse(got.Outputs[0].CID)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	digest := content.Digest()
	return pir.NewHash(pir.B3, digest[:]), got.Outputs[0].Size, true
}

// Open implements ecosystem.Files.
func (s *storeFiles) Open(hash pir.Hash) (io.ReadSeekCloser, error) {
	if hash.Algorithm != pir.B3 {
		return nil, fs.ErrNotExist
	}
	for _, codec := range []uint64{cid.Raw, cid.DagPB} {
		content, err := cid.New(codec, [32]byte(hash.Digest()))
		if err != nil {
			return nil, err
		}
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
	digest := content.Digest()
	return pir.NewHash(pir.B3, digest[:]), info.Size(), w.Close()
}

// Close implements ecosystem.Writer.
func (w *storeWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.File.Close(), os.Remove(w.Name()))
}
