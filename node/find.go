package node

import (
	"context"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// maxFound bounds the PIDs in an answer, and maxLooked those that find looks at.
	maxFound, maxLooked = 200, 2000
)

// find answers OpFind: it returns PIDs that have content here and begin with a text, first those of packages, then those of sources.
func (h *handler) find(ctx context.Context, a protocol.PathArgs) ([]protocol.Found, error) {
	packages, sources, looked := []protocol.Found{}, []protocol.Found{}, 0
	for b, err := range h.store.Bindings() {
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !strings.HasPrefix(b.PID.String(), a.ID) {
			continue
		}
		if looked++; looked > maxLooked || len(packages) == maxFound {
			break
		}
		f := protocol.Found{PID: b.PID}
		if canonical, _, err := h.store.PIR(b.PID); err == nil {
			if p, err := pir.Decode(canonical); err == nil {
				f.Kind, f.Name = p.Kind, strings.TrimSpace(p.Name+" "+p.Version)
			}
		}
		if f.Name == "" {
			sources = append(sources, f)
		} else {
			packages = append(packages, f)
		}
	}
	found := slices.Concat(packages, sources)
	return found[:min(len(found), maxFound)], nil
}
