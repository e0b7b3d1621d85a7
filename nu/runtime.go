package nu

import (
	"context"
	"sync"

	"github.com/MordragT/nuka/wasmrt"
)

// lazyRuntime creates a runtime on first use.
type lazyRuntime struct {
	mu sync.Mutex
	rt *wasmrt.Runtime
}

func (l *lazyRuntime) get(ctx context.Context, cacheDir string) (*wasmrt.Runtime, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rt == nil {
		rt, err := wasmrt.New(context.WithoutCancel(ctx), &wasmrt.Options{CacheDir: cacheDir})
		if err != nil {
			return nil, err
		}
		l.rt = rt
	}
	return l.rt, nil
}

func (l *lazyRuntime) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rt == nil {
		return nil
	}
	rt := l.rt
	l.rt = nil
	return rt.Close(context.Background())
}
