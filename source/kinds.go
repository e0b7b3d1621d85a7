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

// A Kind is one kind of source: what package files see of it, and how its bytes are found. Each is one file of this package.
type Kind struct {
	kind.Kind
	// Digests are those that can fix an output, beside b3 of its tree: what its registry prints.
	Digests []pir.HashAlgorithm
	// Doc is what docs/fetch.md says of it, in Markdown; Finds is where its registry is found, Credentials where those for it may be.
	Doc, Finds, Credentials string

	// Check reports what is wrong with an origin whose fields are those of the kind; nil is checkRelease.
	Check func(Origin) error
	// Show is an origin for people; nil is its kind, name and version.
	Show func(Origin) string
	// Find returns the addresses at which the bytes of an origin are, in the order to try them.
	Find func(f *Fetcher, ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error)
	// Fetch makes the output, where that is more than to download and unpack a file. It returns false for what is one file all the same.
	// Nil is never more.
	Fetch func(f *Fetcher, ctx context.Context, o Origin, r *Request) (bool, error)

	// Config reads the configuration of the client of the registry; nil reads nothing.
	Config *ConfigKind
	// Netrc says that the logins of the user's netrc file are used.
	Netrc bool

	// Registry is what its registry is called; "" is for a kind that has none of its own.
	Registry string
	// Nothing is an origin that the registry does not have; the zero Origin is a name and version that hardly any has.
	Nothing Origin
	// Answers asks the registry whether it answers; nil asks for Nothing.
	Answers func(f *Fetcher, ctx context.Context) error
}

// Kinds returns the kinds of sources, in the order of help and documentation. They must not be changed.
func Kinds() []Kind {
	return []Kind{urlKind(), gitKind(), pathKind(), npmKind(), pypiKind(), crateKind(), goKind(), debKind(), debsrcKind()}
}

// find returns the kind of a name, or nil.
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

// Table returns the kinds as package files see them.
func Table() kind.Table {
	t := kind.Table{Version: sourcesDigest()}
	for _, k := range Kinds() {
		t.Kinds = append(t.Kinds, k.Kind)
	}
	return t
}
