package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/worker"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// This file answers the calls that run a program: where the program is, and the folders and files that it opens.

// program answers OpProgram: it returns the command of a package, and the packages that the command sees.
func (h *handler) program(ctx context.Context, r *request, a protocol.ProgramArgs) (*protocol.Program, error) {
	if len(a.Trees) > 0 {
		return h.programTrees(ctx, r, a.Trees)
	}
	h.keepForCaller(r, "a program that runs").KeepPIDs(a.PID)
	canonical, _, err := h.store.PIR(a.PID)
	if err != nil {
		return nil, cas.Coded(err)
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return nil, err
	}
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	inputs, err := realizer.Closure(a.PID)
	if err != nil {
		return nil, err
	}
	command, err := h.command(ctx, p, a, inputs[0])
	if err != nil {
		return nil, err
	}
	out := &protocol.Program{
		Command: inputs[0].Path + "/" + command, Mounts: make([]protocol.Mount, len(inputs)),
	}
	if out.Runtime, _ = p.RunsIn(); p.Layout == pir.LayoutFHS1 {
		out.Runtime = a.PID // a runtime's own programs run in it
	}
	for i, in := range inputs {
		root, err := h.store.Lookup(ctx, in.CID, "")
		if err != nil {
			return nil, cas.Coded(err)
		}
		out.Mounts[i] = protocol.Mount{Path: in.Path, Root: entry(root)}
		out.Path = append(out.Path, in.Path+"/bin") // its own programs come before those of what it refers to
	}
	if err := h.store.Use(ctx, time.Now(), a.PID); err != nil {
		return nil, err
	}
	if out.Folders, err = h.way(ctx, inputs[0].CID, command, r.Here); err != nil {
		return nil, err
	}
	return out, nil
}

// programTrees returns the trees of packages, for the shell in which a build can be tried.
func (h *handler) programTrees(ctx context.Context, r *request, ids []pir.PID) (*protocol.Program, error) {
	h.keepForCaller(r, "a shell of a build").KeepPIDs(ids...)
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	inputs, err := realizer.Closure(ids...)
	if err != nil {
		return nil, err
	}
	out := &protocol.Program{}
	for _, in := range inputs {
		root, err := h.store.Lookup(ctx, in.CID, "")
		if err != nil {
			return nil, cas.Coded(err)
		}
		out.Mounts = append(out.Mounts, protocol.Mount{Path: in.Path, Root: entry(root)})
	}
	return out, nil
}

// maxWay bounds the entries of a folder that way returns.
const maxWay = 1000

// way returns the folders that lead to a command in bin, so that its start need not ask for them, and for a light peer on this machine the path of
// the command's bytes.
func (h *handler) way(ctx context.Context, root cid.CID, command string, local bool) ([]protocol.Folder, error) {
	bytes, file := cid.CID{}, ""
	if target, err := h.follow(ctx, root, command); local && err == nil && target.Kind == cas.File { // else the command asks for it
		bytes = target.CID
		if file, err = h.store.BlobPath(bytes); err != nil {
			return nil, cas.Coded(err)
		}
	}
	var out []protocol.Folder
	for _, at := range []string{"", "bin"} {
		dir, err := h.store.Lookup(ctx, root, at)
		if err != nil {
			return nil, cas.Coded(err)
		}
		if dir.Kind != cas.Dir {
			break
		}
		f := protocol.Folder{CID: dir.CID.String(), Entries: []protocol.Entry{}}
		for e, err := range h.store.Folder(ctx, dir.CID) {
			if err != nil {
				return nil, cas.Coded(err)
			}
			if len(f.Entries) == maxWay {
				f.Entries = nil
				break
			}
			pe := entry(e)
			if e.CID == bytes {
				pe.File = file
			}
			f.Entries = append(f.Entries, pe)
		}
		if f.Entries != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

// command returns the path in the package of the program to run: one of bin, and of a runtime one of usr/bin, which must be named.
func (h *handler) command(ctx context.Context, p *pir.PIR, a protocol.ProgramArgs, root realize.Input) (string, error) {
	if p.Layout == pir.LayoutFHS1 && a.Command != "" {
		at := "usr/bin/" + a.Command
		if _, err := h.store.Lookup(ctx, root.CID, at); err != nil {
			return "", protocol.Errorf(protocol.NotFound, "the runtime %s has no program %q", p.Name, a.Command).WithHint("see: nuka ls %s usr/bin", a.PID.Short())
		}
		return at, nil
	}
	offered := p.Commands()
	if len(offered) == 0 {
		var err error
		if offered, err = h.programs(ctx, root.CID); err != nil {
			return "", cas.Coded(err)
		}
	}
	want := a.Command
	if want == "" && len(offered) > 0 {
		want = offered[0]
		for _, name := range offered {
			if name == p.Name && len(p.Commands()) == 0 {
				want = name
			}
		}
	}
	if want == "" && p.Layout == pir.LayoutFHS1 {
		return "", protocol.Errorf(protocol.NotFound, "%s is a runtime", p.Name).WithHint("name one of its programs: --command; or: nuka exec --runtime %s -- PROGRAM", p.Name)
	}
	if want == "" {
		return "", protocol.Errorf(protocol.NotFound, "%s has no programs", p.Name).WithHint("a package's programs lie in bin; see: nuka ls %s", a.PID.Short())
	}
	if _, err := h.store.Lookup(ctx, root.CID, "bin/"+want); err != nil {
		return "", protocol.Errorf(protocol.NotFound, "%s has no program %q", p.Name, want).
			WithHint("it has: %s", strings.Join(offered, ", "))
	}
	return "bin/" + want, nil
}

// programs returns the names in a tree's bin.
func (h *handler) programs(ctx context.Context, root cid.CID) (names []string, err error) {
	bin, err := h.store.Lookup(ctx, root, "bin")
	if errors.Is(err, cas.ErrNotFound) || err == nil && bin.Kind != cas.Dir {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for e, err := range h.store.Folder(ctx, bin.CID) {
		if err != nil {
			return nil, err
		}
		names = append(names, e.Path)
	}
	return names, nil
}

// folder answers OpFolder: it writes the entries of a folder, one a line, because one message would bound their number.
func (h *handler) folder(ctx context.Context, out io.Writer, a protocol.FolderArgs) error {
	c, err := cid.Parse(a.CID)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "folder: %w", err)
	}
	lines := bufio.NewWriterSize(out, 64<<10)
	text := json.NewEncoder(lines)
	for e, err := range h.store.Folder(ctx, c) {
		if err == nil {
			err = text.Encode(entry(e))
		}
		if err != nil {
			return cas.Coded(err)
		}
	}
	return lines.Flush()
}

// files answers OpFiles: it returns the paths of the blobs of files.
func (h *handler) files(_ context.Context, a protocol.FilesArgs) ([]string, error) {
	if len(a.CIDs) == 0 || len(a.CIDs) > protocol.MaxFiles {
		return nil, protocol.Errorf(protocol.Invalid, "files: %d are asked for, want 1 to %d", len(a.CIDs), protocol.MaxFiles)
	}
	files := make([]cid.CID, len(a.CIDs))
	for i, text := range a.CIDs {
		var err error
		if files[i], err = cid.Parse(text); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "files: %w", err)
		}
	}
	return worker.BlobPaths(h.store, files)
}
