package feed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownlist"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// MaxHeads bounds the bytes of a file of heads.
const MaxHeads = maxHeads * (protocol.MaxFeedHead + 2)

// An Origin is the set of operations that Update needs of where a feed comes from. What it gives is not trusted.
type Origin interface {
	// Get returns a file below the origin, which has at most some bytes.
	Get(ctx context.Context, name string, most int64) ([]byte, error)
}

// A Rooted is an Origin that has to know which tree its files are of before it gives any but the heads.
type Rooted interface {
	Root(ctx context.Context, root cid.CID) error
}

// Dir is the Origin of a folder.
type Dir struct{ Files fs.FS }

// Get implements Origin.
func (d Dir) Get(_ context.Context, name string, most int64) ([]byte, error) {
	return readFile(d.Files, name, most)
}

// An Updated says what an update did.
type Updated struct {
	Number int64
	News   bool  // another tree is in use
	Files  int   // files of the new tree
	Got    int   // files that came from the origin; the others were here
	Bytes  int64 // that came from the origin
}

// Update brings a signed feed up to date, or makes it the newest one of the folder. s is what is known of it. What was seen of heads is stored even if the result is
// an error; the tree in use is then the one that was in use.
func (l *Lock) Update(ctx context.Context, s *Feed, from Origin, now time.Time) (*Updated, error) {
	out := &Updated{}
	text, err := from.Get(ctx, HeadsFile, MaxHeads)
	if err != nil {
		return nil, protocol.Errorf(codeOf(err), "feed %s: %w", s.Name, err).WithHint("what you have stays in use")
	}
	out.Bytes += int64(len(text))
	heads, wrong := readHeads(text)
	next, err := s.Advance(heads, now)
	if err != nil {
		if wrong != nil && len(heads) == 0 {
			err = protocol.Errorf(protocol.Damaged, "feed %s: %s: %w", s.Name, HeadsFile, wrong).WithHint("what you have stays in use")
		}
		if s.Root.IsZero() { // it is new: nothing of it is kept
			return nil, err
		}
		return nil, errors.Join(err, l.put(s))
	}
	out.Number, out.News = next.Number, next.Root != s.Root
	old, _ := l.Tree(s)
	if !out.News && old != nil {
		s.adopt(next, now)
		return out, l.put(s)
	}
	if err := l.get(ctx, s, next.Root, from, old, out); err != nil {
		if s.Root.IsZero() {
			return nil, err
		}
		return nil, errors.Join(err, l.put(s))
	}
	s.adopt(next, now)
	if err := l.put(s); err != nil {
		return nil, err
	}
	return out, l.lock.Clean()
}

// codeOf returns the code of a failure to get something.
func codeOf(err error) protocol.Code {
	switch code := protocol.CodeOf(err); {
	case errors.Is(err, fs.ErrNotExist):
		return protocol.NotFound
	case code != protocol.Internal:
		return code
	}
	return protocol.Unavailable
}

// get makes the tree root, out of files of the old tree, which may be nil, and of files of the origin. The manifest is not trusted before the whole tree has the root's CID: until then it only
// says which files to ask for, within bounds.
func (l *Lock) get(ctx context.Context, s *Feed, root cid.CID, from Origin, old *Tree, out *Updated) error {
	wrong := func(code protocol.Code, err error) error {
		return protocol.Errorf(code, "feed %s: %w", s.Name, err).WithHint("the origin does not give what the publisher signed: try another, or try again; what you have stays in use")
	}
	if r, is := from.(Rooted); is {
		if err := r.Root(ctx, root); err != nil {
			return wrong(codeOf(err), err)
		}
	}
	text, err := from.Get(ctx, ManifestFile, maxManifest)
	if err != nil {
		return wrong(codeOf(err), err)
	}
	out.Bytes += int64(len(text))
	m, err := decodeManifest(text)
	if err != nil {
		return wrong(protocol.Damaged, err)
	}
	files := map[string][]byte{ManifestFile: text}
	out.Files = len(m.Files) + 1
	out.Got = 1
	for name, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if old != nil && old.Files[name] == f {
			if b, err := old.file(name); err == nil {
				files[name] = b
				continue
			}
		}
		b, err := from.Get(ctx, name, f.Size)
		if err == nil && fileOf(b) != f {
			err = protocol.Errorf(protocol.Mismatch, "%s is not the file of the manifest", name)
		}
		if err != nil {
			return wrong(codeOf(err), err)
		}
		files[name] = b
		out.Got++
		out.Bytes += int64(len(b))
	}
	made := *s
	made.Root = root
	at := l.dir(&made)
	temp := filepath.Join(filepath.Dir(at), ownlist.Unfinished+"tree")
	err = l.lock.Step("folder", func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.RemoveAll(temp), os.RemoveAll(at))
	})
	if err == nil {
		err = l.lock.Step("tree", func() error { return errors.Join(os.Mkdir(temp, 0o700), writeFiles(temp, files, true)) })
	}
	if err == nil {
		var id cid.CID
		if id, err = HashTree(ctx, os.DirFS(temp)); err == nil && id != root {
			err = wrong(protocol.Mismatch, fmt.Errorf("its tree is %s, and its head is of %s", id, root))
		}
	}
	if err == nil {
		err = l.addNames(ctx, temp, m, old)
	}
	if err == nil {
		err = l.lock.Step("name", func() error { return atomicfile.Rename(temp, at) })
	}
	if err != nil {
		_ = os.RemoveAll(temp)
		_ = os.Remove(filepath.Dir(at)) // if it is empty: the feed is new
		return l.Failed(err)
	}
	return nil
}

// addNames writes the names of the shards of a new tree into its folder.
func (l *Lock) addNames(ctx context.Context, dir string, m *Manifest, old *Tree) error {
	return l.lock.Step("names", func() error { return (&Tree{files: os.DirFS(dir), Manifest: m}).writeNames(ctx, dir, old) })
}

// unsigned is the view of a tree that heads sign: without the heads.
type unsigned struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (u unsigned) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(u.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return name == "." && e.Name() == HeadsFile }), err
}

// ReadLink implements fs.ReadLinkFS.
func (u unsigned) ReadLink(name string) (string, error) { return fs.ReadLink(u.FS, name) }

// Lstat implements fs.ReadLinkFS.
func (u unsigned) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(u.FS, name) }

// Files returns the view of a feed's folder that heads sign: without the heads.
func Files(files fs.FS) fs.FS { return unsigned{files} }

// MaxTree bounds the bytes of the files of a feed's tree.
const MaxTree = maxTree

// HashTree returns the CID of a feed's tree as a head names it.
func HashTree(ctx context.Context, files fs.FS) (cid.CID, error) {
	id, err := cid.HashTree(ctx, unsigned{files}, nil)
	if err != nil {
		return cid.CID{}, fmt.Errorf("hash the feed: %w", err)
	}
	return id, nil
}

// Read makes the tree of a local feed from records, and puts it into use.
func (l *Lock) Read(ctx context.Context, s *Feed, b *Builder, now time.Time) (*Updated, error) {
	old, _ := l.Tree(s)
	parent := l.Dir(s)
	temp := filepath.Join(parent, ownlist.Unfinished+"tree")
	err := l.lock.Step("folder", func() error {
		return errors.Join(os.MkdirAll(parent, 0o700), os.RemoveAll(temp), os.Mkdir(temp, 0o700))
	})
	m := &Manifest{Name: s.Name, Sources: []string{s.From}}
	if err == nil {
		err = l.lock.Step("tree", func() error { return b.Write(temp, m, old) })
	}
	var id cid.CID
	if err == nil {
		id, err = HashTree(ctx, os.DirFS(temp))
	}
	if err == nil {
		err = l.addNames(ctx, temp, m, old)
	}
	next := &Next{Root: id, Issued: now.UTC().Truncate(time.Second)}
	made := *s
	made.Root = id
	if err == nil {
		err = l.lock.Step("name", func() error { return errors.Join(os.RemoveAll(l.dir(&made)), atomicfile.Rename(temp, l.dir(&made))) })
	}
	if err != nil {
		_ = os.RemoveAll(temp)
		_ = os.Remove(parent)
		return nil, l.Failed(err)
	}
	out := &Updated{News: s.Root != id, Files: len(m.Files) + 1, Got: len(m.Files) + 1}
	s.adopt(next, now)
	s.Updated = s.Checked // a folder that has not changed is as fresh as when it was read
	if err := l.put(s); err != nil {
		return nil, err
	}
	return out, l.lock.Clean()
}
