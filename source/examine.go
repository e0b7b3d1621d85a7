package source

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// Answers asks the registry of a kind that the client's configuration names for a package that does not exist. It returns nil if the
// registry says so, and ErrNoRegistry if none is configured. Any other error describes a fault of the registry, the network or the
// user's credentials. It downloads only that answer; from Debian's repositories it downloads their Release files.
func (f *Fetcher) Answers(ctx context.Context, kind OriginKind) error {
	k := kind.find()
	if k == nil || k.Registry == "" {
		return ErrNoRegistry
	}
	if k.Answers != nil {
		return k.Answers(f, ctx)
	}
	o := k.Nothing
	if o.Name == "" {
		o.Name, o.Version = "nuka-doctor", "0.0.0"
	}
	o.Kind = kind
	r := &Request{Origins: []Origin{o}}
	places, err := k.Find(f, ctx, o, r.Hash, f.registries(r))
	stored := false // a server of plain files may answer 403 for a missing file
	for _, p := range places {
		_, err = f.get(ctx, p) // the address was computed without a request
		stored = p.header == nil
	}
	if protocol.CodeOf(err) == protocol.NotFound {
		return nil
	}
	var answer *httpError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return err
	case http.StatusForbidden:
		if !stored {
			return err
		}
	}
	if answer.status >= http.StatusInternalServerError {
		return err
	}
	return nil
}

func (f *Fetcher) debianAnswers(ctx context.Context) error {
	sources := f.aptSources(false)
	if len(sources) == 0 {
		return noDebian()
	}
	asked := map[string]bool{}
	for _, s := range sources {
		address := s.base + "/dists/" + s.suite + "/Release"
		if strings.HasSuffix(s.suite, "/") {
			address = s.base + "/" + strings.TrimPrefix(s.suite, "./") + "Release"
		}
		if asked[address] {
			continue
		}
		asked[address] = true
		if _, err := f.get(ctx, place{url: address}); err != nil {
			return err
		}
	}
	return nil
}
