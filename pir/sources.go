package pir

import (
	"embed"
	"sync"

	"github.com/MordragT/nuka/internal/digest"
)

//go:embed *.go cid/*.go nuon/*.go
var sources embed.FS

// SourcesDigest returns a digest of the code of this package and those below it, for caches of what the code computed.
var SourcesDigest = sync.OnceValue(func() string { return digest.Sources(sources) })
