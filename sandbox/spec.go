package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A Spec describes a sandbox and the program in it. The zero Spec has an empty tree and no program.
// A Spec without a program ([Spec.Argv]) only tries the set-up.
type Spec struct {
	// Mounts make the tree, in order: a later mount covers an earlier one. Unless the first has the target "/", the root is an empty
	// read-only folder that gets the folders that the targets need.
	Mounts []Mount `json:"mounts,omitempty"`

	Argv []string `json:"argv,omitempty"` // the program, looked up in PATH of Env if it has no slash, and its arguments
	Env  []string `json:"env,omitempty"`  // the whole environment, NAME=VALUE
	Dir  string   `json:"dir,omitempty"`  // the working directory inside; "" is "/"
	Host string   `json:"host,omitempty"` // the host name inside; "" is "nuka"

	// UID and GID are the user and group that the program sees; nil is the caller's own. On the host the program always acts as the
	// caller, without any privilege, also if the number inside is 0.
	UID *int `json:"uid,omitempty"`
	GID *int `json:"gid,omitempty"`

	Net     Net     `json:"net,omitempty"`
	Listen  int     `json:"listen,omitempty"` // with NetNone: a TCP port of 127.0.0.1 inside, at which the caller answers; [Options.Listening] gets the socket
	Session Session `json:"session,omitempty"`
	Limits  Limits  `json:"limits,omitzero"`
	Clock   *Clock  `json:"clock,omitempty"` // nil is the clock of the machine
	Umask   *int    `json:"umask,omitempty"` // nil is the caller's
	Extra   int     `json:"extra,omitempty"` // how many descriptors the program gets after the standard streams; Start sets it

	Outlive  bool `json:"outlive,omitempty"`  // the sandbox lives on if the caller ends
	Fallback bool `json:"fallback,omitempty"` // without name spaces, run in the host's tree with Landlock and seccomp only
}

// A Kind is a kind of mount.
type Kind string

// The kinds of mounts. Nothing but Device gives access to device nodes, and programs never gain rights from set-user-ID files.
const (
	RO      Kind = "ro"      // a folder or file of the host and all that is mounted below it, read-only
	RW      Kind = "rw"      // the same, writable as far as the caller may write
	Device  Kind = "device"  // a device node of the host, or a folder of them
	Tmpfs   Kind = "tmpfs"   // an empty folder in memory, of mode Mode (0755) and at most Size bytes
	Proc    Kind = "proc"    // the processes of the sandbox; settings of the kernel are read-only, and what tells of the host is empty
	Dev     Kind = "dev"     // null, zero, full, random, urandom, tty, a set of pseudo-terminals of its own, shm, and the console if a standard stream is one
	Overlay Kind = "overlay" // the folders Lower, the first on top, read-only; with Upper and Work writable
	Symlink Kind = "symlink" // a symbolic link with the text Source
	File    Kind = "file"    // a read-only file with the bytes Content, of mode Mode (0444)
	Dir     Kind = "dir"     // an empty folder of mode Mode (0755)
)

// A Mount is one part of the tree. Paths are absolute and clean. A path of the host must not pass a symbolic link: resolve it first
// (path/filepath.EvalSymlinks), compare the result with what may be granted, and grant the result. If somebody puts a link in its place later, the set-up fails.
type Mount struct {
	Kind    Kind     `json:"kind"`
	Target  string   `json:"target"`            // the path inside
	Source  string   `json:"source,omitempty"`  // the path on the host; for Symlink the text of the link
	Lower   []string `json:"lower,omitempty"`   // paths on the host
	Upper   string   `json:"upper,omitempty"`   // path on the host
	Work    string   `json:"work,omitempty"`    // path on the host, on the file system of Upper
	Content []byte   `json:"content,omitempty"` //
	Mode    uint32   `json:"mode,omitempty"`    // permission bits, and 01000
	Size    int64    `json:"size,omitempty"`    // bytes; 0 is half of the memory
}

// A Net says which network the program has.
type Net string

// The networks. A network of its own with [Spec.Listen] is the way to a network that is narrowed to hosts and ports: the caller's proxy listens in it.
const (
	NetNone Net = ""     // a network of its own, with loopback only
	NetHost Net = "host" // the network of the host
)

// A Session says how the program relates to the caller's terminal.
type Session string

// The sessions. In neither of them can the program type into the terminal.
const (
	SessionShared Session = ""    // the caller's session and process group: job control works as if the program ran directly
	SessionNew    Session = "new" // a session of its own, without a controlling terminal; signals to the caller's group are passed on
)

// Limits bound what the program and all its descendants use together. Zero fields are no limits. [Process.Held] says by what they are held.
type Limits struct {
	Memory    int64   `json:"memory,omitempty"`    // bytes
	Processes int     `json:"processes,omitempty"` // processes and threads
	CPUs      float64 `json:"cpus,omitempty"`      // processors' worth of time
	Threads   bool    `json:"threads,omitempty"`   // set by Start: a control group limits processes, so the launcher starts its threads ahead
}

// A Clock shifts the clocks that count from the start of the machine. The wall clock has no name space.
type Clock struct {
	Monotonic int64 `json:"monotonic,omitempty"` // seconds to add to CLOCK_MONOTONIC
	Boottime  int64 `json:"boottime,omitempty"`  // seconds to add to CLOCK_BOOTTIME
}

// Limits of a Spec.
const (
	maxSpec   = 64 << 20 // bytes of its encoding
	maxExtra  = 64
	maxMounts = 4096
)

// Encode returns the JSON of a valid Spec.
func (s *Spec) Encode() ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err == nil && len(b) > maxSpec {
		err = fmt.Errorf("sandbox: the description has %d bytes; the limit is %d", len(b), maxSpec)
	}
	return b, err
}

// DecodeSpec decodes and checks the JSON of a Spec. It refuses unknown fields, and anything after the JSON.
func DecodeSpec(b []byte) (*Spec, error) {
	s := &Spec{}
	if err := decode(b, s, "the description"); err != nil {
		return nil, err
	}
	return s, s.Check()
}

// Check reports the first fault of a Spec. It looks at no file.
func (s *Spec) Check() error {
	switch {
	case s.Net != NetNone && s.Net != NetHost:
		return fmt.Errorf("sandbox: %q is no network; there are \"\" and %q", s.Net, NetHost)
	case s.Listen < 0 || s.Listen > 65535 || s.Listen > 0 && s.Net != NetNone:
		return fmt.Errorf("sandbox: %d is no port, or the network is not the sandbox's own", s.Listen)
	case s.Session != SessionShared && s.Session != SessionNew:
		return fmt.Errorf("sandbox: %q is no session; there are \"\" and %q", s.Session, SessionNew)
	case s.Limits.Memory < 0 || s.Limits.Processes < 0 || !(s.Limits.CPUs >= 0 && s.Limits.CPUs < 1<<20):
		return errors.New("sandbox: a limit is negative or no number")
	case s.Extra < 0 || s.Extra > maxExtra:
		return fmt.Errorf("sandbox: %d more descriptors; the limit is %d", s.Extra, maxExtra)
	case len(s.Mounts) > maxMounts:
		return fmt.Errorf("sandbox: %d mounts; the limit is %d", len(s.Mounts), maxMounts)
	case s.UID != nil && !isID(*s.UID) || s.GID != nil && !isID(*s.GID):
		return errors.New("sandbox: the user or group inside is no number of a user")
	case s.Umask != nil && (*s.Umask < 0 || *s.Umask > 0o777):
		return fmt.Errorf("sandbox: %#o is no umask", *s.Umask)
	case strings.ContainsRune(s.Host, 0) || len(s.Host) > 64:
		return fmt.Errorf("sandbox: %q is no host name", s.Host)
	}
	if s.Dir != "" && !isClean(s.Dir) {
		return fmt.Errorf("sandbox: the working directory %q is no absolute clean path", s.Dir)
	}
	for _, list := range [][]string{s.Argv, s.Env} {
		for _, e := range list {
			if strings.ContainsRune(e, 0) {
				return fmt.Errorf("sandbox: %q contains a zero byte", e)
			}
		}
	}
	for _, e := range s.Env {
		if strings.IndexByte(e, '=') < 1 {
			return fmt.Errorf("sandbox: the variable %q has no name or no value", e)
		}
	}
	if len(s.Argv) > 0 && s.Argv[0] == "" {
		return errors.New("sandbox: the program has no name")
	}
	for i := range s.Mounts {
		if err := s.Mounts[i].check(i == 0); err != nil {
			return err
		}
	}
	return nil
}

// isID reports whether n names a user or group. The greatest number means none.
func isID(n int) bool { return n >= 0 && n < 1<<32-1 }

// isClean reports whether p is absolute, has no ".", ".." or empty parts, and no zero byte.
func isClean(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// fields says which fields of a Mount a kind needs, and which it may have.
type fields struct{ source, lower, content, mode, size bool }

var kinds = map[Kind]fields{
	RO: {source: true}, RW: {source: true}, Device: {source: true}, Symlink: {source: true},
	Tmpfs: {mode: true, size: true}, Proc: {}, Dev: {}, Overlay: {lower: true},
	File: {content: true, mode: true}, Dir: {mode: true},
}

func (m *Mount) check(first bool) error {
	f, ok := kinds[m.Kind]
	fault := ""
	switch {
	case !ok:
		fault = "its kind is unknown"
	case !isClean(m.Target):
		fault = "its target is no absolute clean path"
	case m.Target == "/" && (!first || m.Kind != RO && m.Kind != Overlay):
		fault = "only the first mount can be the root, and only a read-only folder or an overlay"
	case f.source != (m.Source != ""):
		fault = "it needs a source, or must have none"
	case f.source && m.Kind != Symlink && !isClean(m.Source):
		fault = "its source is no absolute clean path"
	case m.Kind == Symlink && strings.ContainsRune(m.Source, 0):
		fault = "the text of the link contains a zero byte"
	case f.lower != (len(m.Lower) > 0):
		fault = "it needs lower folders, or must have none"
	case (m.Upper == "") != (m.Work == "") || m.Upper != "" && !f.lower:
		fault = "only an overlay has an upper folder, and it has a work folder too"
	case len(m.Content) > 0 && !f.content:
		fault = "only a file has content"
	case m.Mode != 0 && !f.mode || m.Mode&^0o1777 != 0:
		fault = "its mode is wrong, or it must have none"
	case m.Size != 0 && !f.size || m.Size < 0:
		fault = "its size is wrong, or it must have none"
	}
	for _, p := range append([]string{m.Upper, m.Work}, m.Lower...) {
		if fault == "" && p != "" && !isClean(p) {
			fault = fmt.Sprintf("%q is no absolute clean path", p)
		}
	}
	if fault != "" {
		return fmt.Errorf("sandbox: mount %q of kind %q: %s", m.Target, m.Kind, fault)
	}
	return nil
}
