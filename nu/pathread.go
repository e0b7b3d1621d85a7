package nu

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/nu/statcache"
	"github.com/MordragT/nuka/pir/cid"
)

// pathReader reads what `fetch path` names, for one call of Eval. It reads a path once: an evaluation that follows a stale entry of the
// evaluation cache gets the CIDs that showed it to be stale.
type pathReader struct {
	stats *statcache.Cache // if nil, every file is read
	read  map[readCall]cid.CID
}

// readCall is a path of a mount, and what is taken of it.
type readCall struct {
	mount, rel string
	o          PathOptions
}

func newPathReader(stats *statcache.Cache) *pathReader {
	return &pathReader{stats: stats, read: map[readCall]cid.CID{}}
}

// cid returns the CID of a path. For a folder on the host that was read before, it reads only the changed files.
func (r *pathReader) cid(ctx context.Context, m Mount, rel string, o PathOptions) (cid.CID, error) {
	call := readCall{m.Path, rel, o}
	if id, ok := r.read[call]; ok {
		return id, nil
	}
	id, err := r.hash(ctx, m, rel, o)
	if err == nil {
		r.read[call] = id
	}
	return id, err
}

func (r *pathReader) hash(ctx context.Context, m Mount, rel string, o PathOptions) (cid.CID, error) {
	if r.stats == nil || m.Host == "" {
		return hashPath(ctx, m.FS, rel, o)
	}
	rel, err := resolve(m, rel)
	if err != nil {
		return cid.CID{}, err
	}
	folder, err := filepath.Abs(filepath.Join(m.Host, filepath.FromSlash(rel)))
	if err != nil {
		return cid.CID{}, err
	}
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return hashPath(ctx, m.FS, rel, o)
	}
	sub, err := fs.Sub(m.FS, rel)
	if err != nil {
		return cid.CID{}, err
	}
	return r.stats.Hash(ctx, &statcache.Tree{
		Folder: folder, FS: Sources(sub, o), Variant: fmt.Sprintf("%+v", o), Listed: o.Gitignore, // a pattern may change without a change of the folder
	})
}

// hashPath returns the CID of a file, or of a folder as Sources lists it.
func hashPath(ctx context.Context, fsys fs.FS, name string, o PathOptions) (cid.CID, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return cid.CID{}, err
	}
	if info.IsDir() {
		sub, err := fs.Sub(fsys, name)
		if err != nil {
			return cid.CID{}, err
		}
		return cid.HashTree(ctx, Sources(sub, o), nil)
	}
	if err := cid.CheckFile(info); err != nil {
		return cid.CID{}, err
	}
	file, err := fsys.Open(name)
	if err != nil {
		return cid.CID{}, err
	}
	defer file.Close() //nolint:errcheck // only read
	b := cid.NewFile(info.Mode()&0o111 != 0)
	if _, err := io.Copy(b, file); err != nil {
		return cid.CID{}, err
	}
	id, _, _, _ := b.Finish()
	return id, nil
}
