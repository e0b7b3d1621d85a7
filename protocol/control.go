package protocol

import (
	"encoding/json"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
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
	OpRealize  Op = "realize"  // RealizeArgs and its packages → Realized, with events
	OpPlan     Op = "plan"     // RealizeArgs and its packages → Plan; changes nothing
	OpUpload   Op = "upload"   // UploadArgs and a tar stream → Uploaded
	OpDescribe Op = "describe" // PathArgs → Description
	OpFind     Op = "find"     // PathArgs, whose ID is a prefix of PIDs → []Found
	OpList     Op = "list"     // PathArgs → []Entry
	OpFolder   Op = "folder"   // FolderArgs → bytes: a line of JSON for each Entry of the folder
	OpFiles    Op = "files"    // FilesArgs → []string
	OpRead     Op = "read"     // PathArgs → data
	OpLog      Op = "log"      // PathArgs → data
	OpProgram  Op = "program"  // ProgramArgs → Program
	OpVerify   Op = "verify"   // VerifyArgs → Verified, with events
	OpStats    Op = "stats"    // none → Stats
	OpMount    Op = "mount"    // MountArgs → MountState
	OpKeep     Op = "keep"     // KeepArgs and the bytes of a file → Uploaded
	OpRecord   Op = "record"   // RecordArgs and its packages → Recorded, with events
	OpStop     Op = "stop"     // none → nothing; the daemon exits after its running work
)

// Status describes a running daemon.
type Status struct {
	Version string        `json:"version"`
	Home    string        `json:"home"`
	Key     string        `json:"key"` // the node's key
	Process int           `json:"process"`
	Uptime  time.Duration `json:"uptime"`  // nanoseconds
	Running []string      `json:"running"` // names of the packages that are being fetched or built
	// Confinement describes how worker processes are confined, and what this platform lacks.
	Confinement []string `json:"confinement"`
	// MissingWalls lists the confinement that build workers lack, each with what to do about it. If it is not empty, the daemon
	// builds only what its own user described, unless the configuration allows more; Partial reports that.
	MissingWalls []string `json:"missing_walls"`
	Partial      bool     `json:"partial"`
	// Mount describes how packages are shown as folders. Daemons before version 0.2 do not report it.
	Mount MountState `json:"mount,omitzero"`
}

// MountArgs asks for packages to be visible as folders, as long as the caller is connected.
type MountArgs struct {
	Packages []pir.PID `json:"packages"`
}

// A MountState describes how a node shows packages as folders.
type MountState struct {
	Path        string `json:"path"`          // the folder that the packages are in
	How         string `json:"how"`           // fuse, checkout or off
	Passthrough bool   `json:"passthrough"`   // the kernel reads files itself
	Why         string `json:"why,omitempty"` // why it is not a better way
	// Contents are the CIDs of the packages of OpMount, in their order.
	Contents []string `json:"contents,omitempty"`
}

// A Package is a PIR that a light peer sends to a daemon.
type Package struct {
	PIR     string   `json:"pir"`               // canonical NUON
	Origins []string `json:"origins,omitempty"` // of a fetch: origins to download from, canonical NUON each
	Name    string   `json:"name,omitempty"`    // name for display
}

// RealizeArgs requests the content of PIDs.
type RealizeArgs struct {
	Wanted   []pir.PID `json:"wanted"`
	Packages []Package `json:"packages,omitempty"` // the wanted PIDs and their inputs, transitively; those that the daemon has may be left out
	// Follow is the number of further packages, which follow the call as lines of JSON (Send, Receive), because one message would bound them.
	Follow int `json:"follow,omitempty"`
	// Check rebuilds the wanted packages and compares the results.
	Check bool `json:"check,omitempty"`
	// KeepFailed keeps the build folder of a failed build and reports its path.
	KeepFailed bool `json:"keep_failed,omitempty"`
	// Jobs bounds the builds of this call that run at once, and Cores the programs of each; 0 leaves only the daemon's bounds.
	Jobs  int `json:"jobs,omitempty"`
	Cores int `json:"cores,omitempty"`
	// Offline forbids the network.
	Offline bool `json:"offline,omitempty"`
	// Roots are stored in one durable step once everything that is wanted is present, and before a collection may remove it. Each has a
	// name and a PID that is then in the store. Only the daemon's own user may store roots.
	Roots []Root `json:"roots,omitempty"`
	// Registries is the requester's client configuration for the registries that the packages need, including credentials
	// (source.Registries). A daemon accepts it only from its own user, keeps it for this call, and neither stores nor logs it.
	Registries json.RawMessage `json:"registries,omitempty"`
}

// KeepArgs hands over a file that a recorder of the caller got. The daemon compares it with the hashes, and finds it by them from then on.
type KeepArgs struct {
	Hashes []string `json:"hashes"` // sha256-… and sha512-…
}

// RecordArgs requests a recording of what the package manager of one native build asks. The build has an open recording (package ecosystem); its output is thrown away.
type RecordArgs struct {
	RealizeArgs
	// Cooldown is the age that versions must have, and Exempt are the packages that may be younger.
	Cooldown time.Duration `json:"cooldown,omitempty"`
	Exempt   []string      `json:"exempt,omitempty"`
	// Hosts are HOST or HOST:PORT that clients may reach, although no registry is there and no index names them.
	Hosts []string `json:"hosts,omitempty"`
}

// Recorded is the result of a record call.
type Recorded struct {
	Text     string   `json:"text"`               // the recording
	Problems []string `json:"problems,omitempty"` // what registries answered wrong, for the user
	LeftOut  []string `json:"left_out,omitempty"` // versions that are too young
	Refused  []string `json:"refused,omitempty"`  // what programs tried to reach, and to change
}

// A Way is how a PID got its content.
type Way string

// The ways.
const (
	Present  Way = "present"  // the store had it
	Fetched  Way = "fetched"  // downloaded from its origin
	Built    Way = "built"    // built on this node
	Cutoff   Way = "cutoff"   // another PID with the same resolved PIR was built before
	Merged   Way = "merged"   // an environment or a value, assembled on this node
	Checked  Way = "checked"  // rebuilt, with the same content
	Received Way = "received" // received from other nodes, on claims that the policy counts
)

// Realized is the result of a realize call.
type Realized struct {
	Outputs []Output    `json:"outputs"` // of the wanted PIDs, in the order of the request
	Counts  map[Way]int `json:"counts"`  // over all PIDs of the call
}

// File returns the hash and the size of the only output. ok is false if there are several, or none.
func (r *Realized) File() (hash pir.Hash, size int64, ok bool) {
	if len(r.Outputs) != 1 {
		return pir.Hash{}, 0, false
	}
	content, err := cid.Parse(r.Outputs[0].CID)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	return pir.HashOf(content), r.Outputs[0].Size, true
}

// An Output is the content of a PID.
type Output struct {
	PID  pir.PID `json:"pid"`
	CID  string  `json:"cid"`
	Name string  `json:"name"`
	Way  Way     `json:"way"`
	Size int64   `json:"size"` // bytes
}

// An EventKind is the kind of an Event.
type EventKind string

// The kinds of events.
const (
	EventWait     EventKind = "wait"     // PID waits for a slot; a start follows
	EventStart    EventKind = "start"    // the fetch or build of PID starts; it is number Done of the Total needed, as far as is known; 0: not counted
	EventProgress EventKind = "progress" // Done of Total bytes of PID; Total 0: unknown
	EventLog      EventKind = "log"      // a line of a build's output
	EventDone     EventKind = "done"     // PID has content, obtained in the way Way
	EventFail     EventKind = "fail"     // PID failed; Text is the reason
	EventNote     EventKind = "note"     // a message for the user
)

// An Event reports progress of a call.
type Event struct {
	Kind  EventKind `json:"kind"`
	PID   pir.PID   `json:"pid"`
	Name  string    `json:"name,omitempty"` // name and version, for display
	What  pir.Kind  `json:"what,omitempty"` // the kind of PID's PIR
	Way   Way       `json:"way,omitempty"`
	CID   string    `json:"cid,omitempty"`
	Text  string    `json:"text,omitempty"`
	Done  int64     `json:"done,omitempty"`
	Total int64     `json:"total,omitempty"`
	// CPU is the processor time of a build's WebAssembly programs, in milliseconds.
	CPU int64 `json:"cpu,omitempty"`
	// Same is the PID whose content PID gets by early cutoff.
	Same string `json:"same,omitempty"`
}

// UploadArgs announces a tree. A tar stream follows.
type UploadArgs struct {
	CID string `json:"cid"` // the CID that the sender computed; the daemon computes its own
}

// Uploaded names the tree that was received.
type Uploaded struct {
	CID string `json:"cid"`
}

// PathArgs names content and a path in it.
type PathArgs struct {
	ID   string `json:"id"`             // a PID, a CID, or a unique prefix of a PID
	Path string `json:"path,omitempty"` // "" is the root
}

// A Found is a PID that has content, with its name.
type Found struct {
	PID  pir.PID  `json:"pid"`
	Kind pir.Kind `json:"kind,omitempty"`
	Name string   `json:"name,omitempty"` // name and version, for display; a source has none
}

// An EntryKind is the type of an entry.
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
	// File is the path of the file's bytes on the daemon's machine. It is set only in a Program for a light peer on that machine.
	File string `json:"file,omitempty"`
}

// FolderArgs requests the entries of one folder, without subfolders. The path of each entry is its name.
type FolderArgs struct {
	CID string `json:"cid"`
}

// MaxFiles bounds the files that FilesArgs may name.
const MaxFiles = 64

// FilesArgs requests the paths of files' bytes on the daemon's machine. If the first file has none, the call fails. The others are files that
// may be opened next; the path of one that is not available is "".
type FilesArgs struct {
	CIDs []string `json:"cids"`
}

// A Description is what a daemon knows about a PID or CID.
type Description struct {
	PID          string     `json:"pid,omitempty"`
	CID          string     `json:"cid,omitempty"`
	PIDs         []string   `json:"pids,omitempty"` // of a CID: all PIDs bound to it
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

// Attested is an attestation in a form for display and for programs.
type Attested struct {
	Signer  string    `json:"signer"`
	CID     string    `json:"cid"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires,omitzero"`
}

// ProgramArgs requests what a light peer needs to run a program of a package.
type ProgramArgs struct {
	PID     pir.PID `json:"pid"`
	Command string  `json:"command,omitempty"` // "" is the package's default command
	// Trees, in place of PID and Command, asks for no program but for the trees of these packages, with all that they refer to.
	Trees []pir.PID `json:"trees,omitempty"`
}

// A Program is what a light peer needs to start a command itself. When the program looks into its trees, the light peer requests folders by
// OpFolder and the paths of files' bytes by OpFiles, or on another machine their bytes by OpRead.
type Program struct {
	Command string   `json:"command"` // path of the program inside the guest
	Path    []string `json:"path"`    // folders inside the guest in which programs are looked up
	Mounts  []Mount  `json:"mounts"`
	Folders []Folder `json:"folders,omitempty"` // the folders on the path to the program, unless they are large
	// Runtime is the environment in which the program runs, in a sandbox; zero: it runs by itself.
	Runtime pir.PID `json:"runtime,omitzero"`
}

// A Mount is a tree and the path at which a program sees it.
type Mount struct {
	Path string `json:"path"`
	Root Entry  `json:"root"`
}

// A Folder is a folder and its entries.
type Folder struct {
	CID     string  `json:"cid"`
	Entries []Entry `json:"entries"`
}

// Stats counts the content of a store.
type Stats struct {
	Files        int64 `json:"files"`
	FileBytes    int64 `json:"file_bytes"`    // on disk, each file counted once
	LogicalBytes int64 `json:"logical_bytes"` // the size if trees shared no files
	Blocks       int64 `json:"blocks"`
	PIRs         int64 `json:"pirs"`
	Bindings     int64 `json:"bindings"`
	Attestations int64 `json:"attestations"`
	Damaged      int64 `json:"damaged"` // quarantined files
}

// VerifyArgs compares everything in the store with its hash.
type VerifyArgs struct {
	// Repair receives, fetches or builds packages again whose files are damaged or missing.
	Repair bool `json:"repair,omitempty"`
	// Offline forbids the network for repairs.
	Offline bool `json:"offline,omitempty"`
}

// Verified is the result of a verify call.
type Verified struct {
	Repaired []string `json:"repaired,omitempty"` // packages
	Broken   []string `json:"broken,omitempty"`   // packages that could not be repaired, each with the reason
	Files    int64    `json:"files"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"`
}
