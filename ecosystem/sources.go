package ecosystem

import (
	"embed"
	"sync"

	"github.com/MordragT/nuka/internal/digest"
)

//go:embed *.go
var sources embed.FS

// SourcesDigest returns a digest of the Go sources of this package; caches of evaluations, which read recordings, use it in their keys.
var SourcesDigest = sync.OnceValue(func() string { return digest.Sources(sources) })
