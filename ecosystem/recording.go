package ecosystem

import (
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// A Recording is what a client asked and what it was told, as a file in canonical NUON: {recording: 1, ecosystem, door, answers: […]}.
type Recording struct {
	Ecosystem string
	Door      Door
	Answers   []Answer // sorted by request; one for each request
	// Upstreams maps aliases of registries to their addresses, with DoorProxy: the alias of HostAlias of the host, and the path if there is one.
	// So a machine with other registries finds the answers by the addresses that the client asks for, and the recording tells no names of hosts.
	Upstreams map[string]string
	// Setup points the client at what replays: a replay needs no adapter, and gives the client what it had when it was recorded.
	Setup Setup
	// System are packages of the distribution that the client's results were found to need, and BuildSystem those that only the build needs. A package is in one of them.
	System, BuildSystem []SystemPackage
}

// A SystemPackage is one package of Debian, as a lock file pins it.
type SystemPackage struct {
	Name, Version, Arch string
	Hash                pir.Hash // SHA-256 of the .deb
	Path                string   // in the archive
}

// An Answer is the answer to one request. It has Text or Kept or neither.
type Answer struct {
	Request  Request
	Status   int    // of HTTP
	Type     string // Content-Type; "" is none
	Location string // of a redirect that the client follows itself; "" is none
	Text     string
	Kept     *Kept
}

// A Kept is a file in the store.
type Kept struct {
	Hash pir.Hash // B3: its CID
	Size int64
	// Package, Version, License, Released, Promised, Weak and Origin are those of the File that was compared.
	Package, Version, License string
	Released                  string // RFC 3339 date, "" unknown
	Promised, Weak            string
	Origin                    nuon.Record
	// Notice says that nobody should use the version any more (NoticeOf), as the index said when it was recorded; "" is nothing.
	Notice string
	// Checked names what was verified beside the hash (Checker): npm-signature:KEY, or gosum-client; "" nothing.
	Checked string
}

// RecordingFile is the usual name of a recording beside a package file.
const RecordingFile = "recording.nuon"
