package fsmount

import (
	"context"
	"log/slog"
	"os/exec"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// Options configures New. Store, Path, Run, Slots and Disk must be set.
type Options struct {
	Store Store
	Path  string // where the file system is mounted; an absolute path
	Run   string // the folder of sockets, of the holder's lock and of the tables of open files
	Slots string // the file of slots
	Disk  string // a folder on the disk of the store, for the figures of statfs
	// Device is the file of FUSE; "" is Device.
	Device string
	// Linger is how long the holder keeps the mount when no daemon serves it; 0 is DefaultLinger.
	Linger time.Duration
	// Budget is the memory for metadata of trees, in bytes; 0 is 256 MiB. The tree that was used last stays whatever its size.
	Budget int64
	// NoPassthrough has the daemon read files for the kernel, even where the kernel could read them itself.
	NoPassthrough bool
	// Holder returns a command that calls Hold with the job; nil runs this program with HolderArg.
	Holder func(job string) *exec.Cmd
	// Fetch brings back a package whose files are missing or damaged: root is the content that it has. Nil has nothing brought back.
	Fetch func(ctx context.Context, p pir.PID, root cid.CID) error
	// Realize makes a package that the store does not have when somebody looks it up. The error is cas.ErrNotFound if there is none.
	// Nil makes none. While it runs, other look-ups of packages that are not in the kernel's cache may wait.
	Realize func(ctx context.Context, p pir.PID) error
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// A State says how a mount works now.
type State struct {
	Mounted     bool
	How         string // "mount", or the program that mounted
	Passthrough bool   // the kernel reads files itself
	Problem     string // why it is not mounted, or what works worse than it could
}

const defaultBudget = 256 << 20
