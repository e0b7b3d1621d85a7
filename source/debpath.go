package source

import (
	"context"
	"fmt"
	"net/url"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/kind"
)

// unpackedDeb returns the tree that `fetch deb` makes: with or without the control archive.
func unpackedDeb(fields kind.Fields) pir.Unpack {
	if fields["control"] != "" {
		return pir.UnpackDebRaw
	}
	return pir.UnpackDeb
}

// poolPath matches the path of a package's file below the address of a repository, part by part. It has no colon, so it is never an address.
var poolPath = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9._+~%-]*(/[A-Za-z0-9_+~%-][A-Za-z0-9._+~%-]*)*$`)

func checkDeb(o Origin) error {
	if at := o.Flags["path"]; at != "" && (len(at) > 1000 || !poolPath().MatchString(at)) {
		return fmt.Errorf("origin %s: path %.200q: want a path below the address of a repository, such as pool/main/h/hello/hello_2.10-3_amd64.deb", o.Kind, at)
	}
	return checkRelease(o, false)
}

// fetchDebPath fetches a package by its path from the first repository of apt's sources that has it.
// It returns false if the origin has no path, or if no repository has the wanted bytes there: an index may name another place.
func (f *Fetcher) fetchDebPath(ctx context.Context, o Origin, r *Request) (bool, error) {
	at := o.Flags["path"]
	if at == "" {
		return false, nil
	}
	var places []place
	seen := map[string]bool{}
	for _, s := range f.aptSources(f.registries(r).stranger) {
		if !seen[s.base] {
			seen[s.base] = true
			places = append(places, place{url: s.base + "/" + (&url.URL{Path: at}).EscapedPath()})
		}
	}
	a, err := f.download(ctx, places, r)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || a == nil {
		f.log.Info("no repository has the file at its path", "path", at, "error", err)
		return false, clean(r.Dir)
	}
	defer a.close()
	return true, f.unpack(ctx, a, r)
}
