package source

import (
	"context"
	"embed"
	"slices"
	"sync"

	"github.com/MordragT/nuka/internal/digest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/kind"
)

// A Kind is one kind of source: its form for package files, and how its bytes are found. Each kind is one file of this package.
type Kind struct {
	kind.Kind
	// Digests are the hash algorithms, beside b3 of the tree, that can fix an output: those that the registry prints.
	Digests []pir.HashAlgorithm
	// Doc is the kind's text in docs/fetch.md, in Markdown. Finds describes how its registry is found, Credentials where credentials may be.
	Doc, Finds, Credentials string

	// Check returns an error about a wrong origin whose fields are valid for the kind; nil means checkRelease.
	Check func(Origin) error
	// Show formats an origin for display; nil means its kind, name and version.
	Show func(Origin) string
	// Find returns the addresses of an origin's bytes, in the order to try them.
	Find func(f *Fetcher, ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error)
	// Fetch makes the output, if that takes more than downloading and unpacking one file. It returns false if one file is enough for the origin.
	// If it is nil, one file is always enough.
	Fetch func(f *Fetcher, ctx context.Context, o Origin, r *Request) (bool, error)

	// Upstreams returns the registries that the client is configured for; nil means that no proxy can stand for them.
	Upstreams func(f *Fetcher, ctx context.Context, regs *Registries) ([]Upstream, error)

	// Config reads the configuration of the registry's client; if it is nil, there is none.
	Config *ConfigKind
	// Netrc enables the logins of the user's netrc file.
	Netrc bool

	// Registry is the registry's name for display; "" if the kind has no registry.
	Registry string
	// Nothing is an origin that the registry does not have; the zero Origin means a name and version that registries hardly ever have.
	Nothing Origin
	// Answers checks whether the registry answers; if it is nil, the check requests Nothing.
	Answers func(f *Fetcher, ctx context.Context) error
}

// Kinds returns the kinds of sources, in the order of help and documentation. The caller must not change them.
func Kinds() []Kind {
	return []Kind{urlKind(), gitKind(), pathKind(), recordingKind(), npmKind(), pypiKind(), crateKind(), goKind(), mavenKind(), debKind(), debsrcKind()}
}

// find returns the kind with a name, or nil.
func (k OriginKind) find() *Kind {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(one Kind) bool { return one.Name == string(k) })
	if i < 0 {
		return nil
	}
	return &kinds[i]
}

//go:embed *.go kind/*.go
var sources embed.FS

var sourcesDigest = sync.OnceValue(func() string { return digest.Sources(sources) })

// Table returns the kinds in the form for package files.
func Table() kind.Table {
	t := kind.Table{Version: sourcesDigest()}
	for _, k := range Kinds() {
		t.Kinds = append(t.Kinds, k.Kind)
	}
	return t
}
