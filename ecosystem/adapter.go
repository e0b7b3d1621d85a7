package ecosystem

import (
	"io"
	"net/http"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Base is the address at which programs in a sandbox reach the proxy. Recorded answers hold addresses with it, so that they are the same on each machine.
const Base = "http://127.0.0.1:3128"

// A Door is the way by which clients reach the proxy.
type Door string

// The doors.
const (
	DoorRegistry Door = "registry"
	DoorProxy    Door = "proxy"
)

// A Setup points clients at a proxy.
type Setup struct {
	// Env are variables of the clients.
	Env map[string]string
	// Files are files that the clients read, by their paths below the folder SetupDir.
	Files map[string]string
}

// SetupDir is the folder in which clients in a sandbox find the files of a Setup.
const SetupDir = "/run/nuka/registry"

// CAFile is the file below SetupDir with the certificate of the proxy's authority, in PEM. It exists with DoorProxy only.
const CAFile = "ca.pem"

// An Upstream is a registry that a client is configured for.
type Upstream struct {
	// Alias stands for the registry in a recording, such as pypi. It is the kind of source, with -2, -3 and so on for further ones.
	Alias string
	// Kind is the kind of source (source.OriginKind).
	Kind string
	// URL is its address without a slash at the end. It has no credentials.
	URL string
	// Header has the credentials. It is sent only to the host of URL, and never recorded.
	Header http.Header
	// Scope limits the registry to some packages, such as @scope of npm; "" is all.
	Scope string
}

// A Request is what a client asks, without what belongs to one connection.
type Request struct {
	Alias string // of the registry, or of another host that an index named
	Path  string // escaped, with a slash at the beginning, relative to the registry's address
	Query string // without the question mark
	// Variant names the form of the answer that the client prefers, if the protocol has several; see Adapter.Variant.
	Variant string
}

// A Class is the use of an answer.
type Class string

// The classes of answers.
const (
	Index    Class = "index" // text that names versions and files: read, edited, cut, and kept in the recording
	Artefact Class = "file"  // bytes with a hash: kept in the store
	Text     Class = "text"  // small text that is kept in the recording as it is
)

// A File is one file of a release, as a registry describes it.
type File struct {
	// Request asks for the file.
	Request Request
	// Package, Version and Name are those of the registry; Name is the name of the file.
	Package, Version, Name string
	// Promised is the hash that the registry, or a lock file, promises; zero: none. Algorithms that pir does not have, such as SHA-1, are in Weak.
	Promised pir.Hash
	// Weak is a hash by another algorithm, as ALGORITHM:HEX; it is compared, too.
	Weak string
	Size int64 // 0: unknown
	// Released is the time at which the version was published; zero: the protocol does not say.
	Released time.Time
	// License is the license's SPDX expression or name, if the registry says it.
	License string
	// Notice says that nobody should use the version any more, as NoticeOf writes it; "" is nothing.
	Notice string
	// Signed is what the registry signed about the file; nil: nothing, or its index was not read.
	Signed *Signed
	// Vouched names what the client itself verifies about Promised before it uses the file, such as gosum-client; "" nothing.
	Vouched string
	// Origin is the origin (source.Origin, as a record) from which nuka can fetch the file without a recording; nil: none.
	Origin nuon.Record
}

// Same reports whether two files belong to one version of a package.
func (f *File) Same(g *File) bool { return f.Package == g.Package && f.Version == g.Version }

// An Edit changes an index.
type Edit struct {
	// Keep reports whether the index goes on naming a version; nil keeps all. The adapter calls it with each file of the index, and for versions without files with a
	// File that has Package, Version and Released only.
	Keep func(*File) bool
	// Version reports whether Keep may be true for a file of a version; nil: it may be for each. Adapters may ask it first, and describe fewer files.
	Version func(name, version string) bool
	// Address returns the address that a client is to use instead of the absolute address of an index; nil keeps all addresses.
	Address func(url string) string
	// Lean drops what no client reads, such as descriptions of versions and the times of others.
	Lean bool
}

// An Adapter is what nuka knows of the protocol of one ecosystem. It is used by several goroutines at once, keeps no state and opens no connection.
type Adapter interface {
	// Name is the name of the ecosystem: pip, npm, cargo, go, maven.
	Name() string
	// Kinds are the kinds of source whose registries the clients use (source.OriginKind).
	Kinds() []string
	// Doors are the doors that work, the preferred one first.
	Doors() []Door
	// Setup points the clients of the ecosystem at a proxy at base, which answers for the upstreams. With DoorProxy, HTTPS_PROXY and the like are set by SetupProxy.
	Setup(d Door, base string, upstreams []Upstream) Setup
	// Variant returns the variant of a request from its Accept header, "" if the protocol has one form only, and the Accept header that asks a registry for it.
	Variant(path, accept string) (variant, ask string)
	// Classify returns the class of the answer to a request, from the request alone. An answer that is no Artefact but that a File promises counts as Artefact.
	Classify(r Request) Class
	// Describe returns what is known of a file from its request alone: name, version and origin; nil if nothing is.
	Describe(r Request) *File
	// Read returns the files that an index names. The answer's address is base; addresses in it may be relative. Read refuses an index that names files of
	// another package than was asked for, and text that is no index, such as a page of a portal.
	Read(r Request, base, contentType string, body []byte, request func(url string) Request) ([]File, error)
	// Change returns an index, of which Read found no fault, with an edit, and reports how many versions it dropped.
	Change(r Request, base, contentType string, body []byte, request func(url string) Request, e *Edit) (out []byte, dropped int, err error)
}

// A Dater is an Adapter whose indexes do not tell when versions were released, but whose protocol has another question for it.
type Dater interface {
	// Date returns the question about the release date of a version, and reads its answer. ok is false if there is none.
	Date(r Request, version string) (question Request, read func(http.Header, []byte) time.Time, ok bool)
}

// A Prover is an Adapter whose registry tells the hash of a file in the answer to another question, as Maven's does in FILE.sha1.
type Prover interface {
	// Proof returns the question whose answer holds the hash of the file that r asks for, and reads it. A client is expected to ask the same, so the answer is recorded.
	// ok is false if there is none. read returns two zero values if it finds no hash.
	Proof(r Request) (question Request, read func([]byte) (promised pir.Hash, weak string), ok bool)
}

// A Locker is an Adapter that reads the lock files of its clients.
type Locker interface {
	// Locked returns the files that a lock file names and what it promises about them; request maps addresses. For other files it returns nothing.
	Locked(file string, content []byte, request func(url string) Request) ([]File, error)
}

// A Placer is an Adapter whose registries tell in an index where else they have files, as cargo's do in config.json.
type Placer interface {
	// Places returns addresses that an index tells, by names of up to 10 letters. Requests below one of them get the alias of the registry with -NAME, so a recording
	// does not depend on where a registry, or a mirror of it, has its files.
	Places(r Request, body []byte) map[string]string
}

// A Holder is an Adapter whose files may hold lock files, as the crate of a program holds Cargo.lock.
type Holder interface {
	// Held returns the files that the lock file in an artefact names, with Package and Version; nil if it holds none. Errors mean the same to callers: the client
	// tells the user of them.
	Held(r Request, file io.Reader) ([]File, error)
}

// An Unpacker is an Adapter whose clients unpack a file as it comes, in place of writing it into a cache of their own first, if its answer has Cache-Control: no-store.
type Unpacker interface {
	// NoStore reports whether answers with files say so.
	NoStore() bool
}

func noStore(a Adapter, h http.Header) {
	if u, ok := a.(Unpacker); ok && u.NoStore() {
		h.Set("Cache-Control", "no-store")
	}
}

// A Namer is an Adapter whose clients read indexes of packages of which they ask for no file, such as optional ones for other platforms.
type Namer interface {
	// Named returns the versions of other packages that the kept versions of an index name exactly, with Package and Version. Their indexes go on naming them.
	Named(r Request, base string, body []byte, request func(url string) Request, keep func(*File) bool) ([]File, error)
}

// Port is the port of Base.
const Port = 3128

// A Checksummer is an Adapter whose registry passes on answers of a checksum database, which are signed for the time at which they were asked for.
type Checksummer interface {
	// Checksums reports whether r is a question to a checksum database. Recordings leave the answers out: clients check them when they record, and a replay has
	// the bytes that were checked.
	Checksums(r Request) bool
}
