package protocol

import (
	"encoding/json"
	"time"

	"github.com/MordragT/nuka/pir"
)

// ALPN is the TLS application protocol of control: a light peer's requests to its system daemon.
const ALPN = "nuka/control/1"

// MaxFrame bounds one frame of control in bytes.
const MaxFrame = 64 << 20

// An Op names a call of control.
type Op string

// The calls of control, each with its arguments and result.
const (
	OpStatus   Op = "status"   // none → Status
	OpRealize  Op = "realize"  // RealizeArgs → Realized, with events
	OpPlan     Op = "plan"     // RealizeArgs → Plan; nothing is made
	OpUpload   Op = "upload"   // UploadArgs and a tar stream → Uploaded
	OpDescribe Op = "describe" // PathArgs → Description
	OpFind     Op = "find"     // PathArgs, whose ID is the beginning of PIDs → []Found
	OpList     Op = "list"     // PathArgs → []Entry
	OpFolder   Op = "folder"   // FolderArgs → bytes: a JSON Entry a line, for each that the folder holds
	OpFiles    Op = "files"    // FilesArgs → []string
	OpRead     Op = "read"     // PathArgs → data
	OpLog      Op = "log"      // PathArgs → data
	OpProgram  Op = "program"  // ProgramArgs → Program
	OpVerify   Op = "verify"   // none → Verified, with events
	OpStats    Op = "stats"    // none → Stats
	OpStop     Op = "stop"     // none → nothing; the daemon ends when its work is done
)

// Status says how a daemon is.
type Status struct {
	Version string        `json:"version"`
	Home    string        `json:"home"`
	Key     string        `json:"key"` // the node's key
	Process int           `json:"process"`
	Uptime  time.Duration `json:"uptime"`  // nanoseconds
	Running []string      `json:"running"` // what is being fetched or built
	// Confinement says how worker processes are confined, and what this platform lacks.
	Confinement []string `json:"confinement"`
	// MissingWalls are the walls around build workers that are missing, each with what to do. If there are any, the daemon
	// builds nothing that others described, unless Partial says that the configuration allows it.
	MissingWalls []string `json:"missing_walls"`
	Partial      bool     `json:"partial"`
}

// A Package is a PIR on its way to a daemon.
type Package struct {
	PIR     string   `json:"pir"`               // canonical NUON
	Origins []string `json:"origins,omitempty"` // of a fetch: where to get it, canonical NUON each
	Name    string   `json:"name,omitempty"`    // for people
}

// RealizeArgs asks for content.
type RealizeArgs struct {
	Wanted   []pir.PID `json:"wanted"`
	Packages []Package `json:"packages"` // the wanted PIDs and all they are made from; what the daemon knows may be left out
	// Check rebuilds the wanted packages and compares.
	Check bool `json:"check,omitempty"`
	// KeepFailed leaves the build folder of a failed build in place and says where.
	KeepFailed bool `json:"keep_failed,omitempty"`
	// Jobs is how many builds of this call may run at once, and Cores how many programs each; 0 is no bound but the daemon's own.
	Jobs  int `json:"jobs,omitempty"`
	Cores int `json:"cores,omitempty"`
	// Offline forbids the network.
	Offline bool `json:"offline,omitempty"`
	// Registries is what the requester's client configuration says about the registries that the packages need, credentials among it
	// (source.Registries). A daemon takes it from its own user only, keeps it for this call, and neither stores nor logs it.
	Registries json.RawMessage `json:"registries,omitempty"`
}

// A Way says how a PID came to its content.
type Way string

// The ways.
const (
	Present  Way = "present"  // it was in the store
	Fetched  Way = "fetched"  // from its origin
	Built    Way = "built"    // here
	Cutoff   Way = "cutoff"   // another PID with the same resolved PIR had been built
	Merged   Way = "merged"   // an environment or a value, assembled here
	Checked  Way = "checked"  // rebuilt, with the same content
	Received Way = "received" // from other nodes, by their word
)

// Realized is the end of a realize call.
type Realized struct {
	Outputs []Output    `json:"outputs"` // of the wanted PIDs, in their order
	Counts  map[Way]int `json:"counts"`  // over everything that was touched
}

// An Output is content for a PID.
type Output struct {
	PID  pir.PID `json:"pid"`
	CID  string  `json:"cid"`
	Name string  `json:"name"`
	Way  Way     `json:"way"`
	Size int64   `json:"size"` // bytes
}

// An EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventWait     EventKind = "wait"     // PID waits for a slot; a start follows
	EventStart    EventKind = "start"    // PID is being fetched or built, as number Done of the Total that are needed, as far as is known; 0 counts nothing
	EventProgress EventKind = "progress" // Done of Total bytes of PID; Total 0 is unknown
	EventLog      EventKind = "log"      // a line of a build's output
	EventDone     EventKind = "done"     // PID has content; Way says how
	EventFail     EventKind = "fail"     // PID has none; Text says why
	EventNote     EventKind = "note"     // something the user should know
)

// An Event tells how a call goes.
type Event struct {
	Kind  EventKind `json:"kind"`
	PID   pir.PID   `json:"pid"`
	Name  string    `json:"name,omitempty"` // name and version, for people
	What  pir.Kind  `json:"what,omitempty"` // what PID's PIR is
	Way   Way       `json:"way,omitempty"`
	CID   string    `json:"cid,omitempty"`
	Text  string    `json:"text,omitempty"`
	Done  int64     `json:"done,omitempty"`
	Total int64     `json:"total,omitempty"`
	// Same is the PID whose content serves by early cutoff.
	Same string `json:"same,omitempty"`
}

// UploadArgs announces a tree; a tar stream follows.
type UploadArgs struct {
	CID string `json:"cid"` // what the sender thinks it is; the daemon hashes for itself
}

// Uploaded names the tree that was received.
type Uploaded struct {
	CID string `json:"cid"`
}

// PathArgs names content and a path in it.
type PathArgs struct {
	ID   string `json:"id"`             // a PID, a CID, or the unique beginning of a PID
	Path string `json:"path,omitempty"` // "" is the root
}

// A Found is a PID that has content, and what it is called.
type Found struct {
	PID  pir.PID  `json:"pid"`
	Kind pir.Kind `json:"kind,omitempty"`
	Name string   `json:"name,omitempty"` // name and version, for people; a source has none
}

// An EntryKind is what stands at a path.
type EntryKind string

// The kinds of entries.
const (
	KindDir     EntryKind = "dir"
	KindFile    EntryKind = "file"
	KindSymlink EntryKind = "symlink"
)

// An Entry is one path of a tree.
type Entry struct {
	Path   string    `json:"path"` // slash-separated, "" is the root
	Kind   EntryKind `json:"kind"`
	Exec   bool      `json:"exec,omitempty"`
	Size   int64     `json:"size,omitempty"`
	Target string    `json:"target,omitempty"` // of a symlink
	CID    string    `json:"cid,omitempty"`
	// File is the path of the bytes on the daemon's machine; only in a Program for a light peer of that machine.
	File string `json:"file,omitempty"`
}

// FolderArgs asks for what a folder holds, and nothing below it: the paths of the entries are their names.
type FolderArgs struct {
	CID string `json:"cid"`
}

// MaxFiles is how many files FilesArgs may name.
const MaxFiles = 64

// FilesArgs asks for the paths of files' bytes on the daemon's machine. The first file must have one; the others are those that may be
// opened next, and have the path "" if theirs cannot be had.
type FilesArgs struct {
	CIDs []string `json:"cids"`
}

// A Description is what a daemon knows of a PID or CID.
type Description struct {
	PID          string     `json:"pid,omitempty"`
	CID          string     `json:"cid,omitempty"`
	PIDs         []string   `json:"pids,omitempty"` // of a CID: all that have it
	Kind         pir.Kind   `json:"kind,omitempty"`
	Name         string     `json:"name,omitempty"`
	Version      string     `json:"version,omitempty"`
	PIR          string     `json:"pir,omitempty"`
	Origins      []string   `json:"origins,omitempty"`
	Refs         []string   `json:"refs,omitempty"`
	Size         int64      `json:"size,omitempty"`
	Attestations []Attested `json:"attestations,omitempty"`
	Root         *Entry     `json:"root,omitempty"`
}

// Attested is an attestation for people and programs.
type Attested struct {
	Signer  string    `json:"signer"`
	CID     string    `json:"cid"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires,omitzero"`
}

// ProgramArgs asks for what is needed to run a program of a package.
type ProgramArgs struct {
	PID     pir.PID `json:"pid"`
	Command string  `json:"command,omitempty"` // "" is the package's first
}

// A Program is what a light peer needs to start a command itself. What its trees hold is asked for by OpFolder when the program looks, and
// where files' bytes lie by OpFiles, or OpRead on another machine.
type Program struct {
	Command string   `json:"command"` // the guest path of the program
	Path    []string `json:"path"`    // the guest folders in which programs are looked up
	Mounts  []Mount  `json:"mounts"`
	Folders []Folder `json:"folders,omitempty"` // those on the way to the program, unless they are large
}

// A Mount is a tree and where a program sees it.
type Mount struct {
	Path string `json:"path"`
	Root Entry  `json:"root"`
}

// A Folder is what a folder holds.
type Folder struct {
	CID     string  `json:"cid"`
	Entries []Entry `json:"entries"`
}

// Stats counts what a store holds.
type Stats struct {
	Files        int64 `json:"files"`
	FileBytes    int64 `json:"file_bytes"`    // on disk, each file once
	LogicalBytes int64 `json:"logical_bytes"` // as if nothing were shared
	Blocks       int64 `json:"blocks"`
	PIRs         int64 `json:"pirs"`
	Bindings     int64 `json:"bindings"`
	Attestations int64 `json:"attestations"`
	Damaged      int64 `json:"damaged"` // files that were set aside
}

// Verified is the end of a verify call.
type Verified struct {
	Files    int64    `json:"files"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"`
}
