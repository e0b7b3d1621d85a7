package pir

import (
	"embed"
	"sync"

	"github.com/MordragT/nuka/internal/digest"
)

//go:embed *.go cid/*.go nuon/*.go
var sources embed.FS

// SourcesDigest returns a digest of the Go sources of this package and of those below it; caches of evaluations use it in their keys.
var SourcesDigest = sync.OnceValue(func() string { return digest.Sources(sources) })
