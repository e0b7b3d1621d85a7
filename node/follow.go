package node

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

// maxLinks bounds the symbolic links on the way of one path.
const maxLinks = 40

// follow finds a path in a tree, through symbolic links that stay in it.
func (h *handler) follow(ctx context.Context, root cid.CID, at string) (cas.Entry, error) {
	for range maxLinks {
		parts := strings.Split(at, "/")
		var e cas.Entry
		var err error
		n := 1
		for ; n <= len(parts); n++ {
			if e, err = h.store.Lookup(ctx, root, path.Join(parts[:n]...)); err != nil {
				return cas.Entry{}, err
			}
			if e.Kind == cas.Symlink {
				break
			}
		}
		if e.Kind != cas.Symlink {
			return e, nil
		}
		target := path.Join(path.Join(parts[:n-1]...), e.Target)
		if path.IsAbs(e.Target) || target == ".." || strings.HasPrefix(target, "../") {
			return cas.Entry{}, fmt.Errorf("link %s to %s leads out of the package", e.Path, e.Target)
		}
		at = cleanPath(path.Join(append([]string{target}, parts[n:]...)...))
	}
	return cas.Entry{}, fmt.Errorf("too many links on the way to %s", at)
}
