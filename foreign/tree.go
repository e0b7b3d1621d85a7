package foreign

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// An Entry is a file, a folder or a symbolic link in a folder of a runtime.
type Entry struct {
	Name   string
	Link   bool
	Target string // of a link
}

// A Listing returns the entries of a folder of a runtime's tree: "" is the root. A folder that does not exist has none.
type Listing func(rel string) ([]Entry, error)

// folderListing lists the tree in a folder of this machine.
func folderListing(dir string) Listing {
	return func(rel string) ([]Entry, error) {
		list, err := os.ReadDir(filepath.Join(dir, rel))
		if errors.Is(err, fs.ErrNotExist) && rel != "" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		out := make([]Entry, len(list))
		for i, e := range list {
			out[i] = Entry{Name: e.Name(), Link: e.Type()&fs.ModeSymlink != 0}
			if out[i].Link {
				if out[i].Target, err = os.Readlink(filepath.Join(dir, rel, e.Name())); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	}
}

// A runtimeTree is the tree of a runtime on this machine.
type runtimeTree struct {
	dir  string
	list Listing
}

// folders returns the mounts of the folders of the tree: usr, opt and others read-only, links as they are. Those that are the machine's or the user's are
// left out, and so is etc, because some of its files are made for the run.
func (t runtimeTree) folders() ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	list, err := t.list("")
	if err != nil {
		return nil, err
	}
	own := []string{"etc", "proc", "sys", "dev", "tmp", "run", "home", "root", "mnt", "media", "boot", "nuka"}
	for _, e := range list {
		switch {
		case slices.Contains(own, e.Name):
		case e.Name == "var" && !e.Link:
			more, err := t.each("var", "tmp", "run", "lock", "log", "mail", "spool", "local")
			if err != nil {
				return nil, err
			}
			out = append(out, sandbox.Mount{Kind: sandbox.Tmpfs, Target: "/var"})
			out = append(append(out, more...), sandbox.Mount{Kind: sandbox.Dir, Target: "/var/tmp"})
		default:
			out = append(out, t.mount(e.Name, e))
		}
	}
	return out, nil
}

// each returns the mounts of the entries of a folder, but for some.
func (t runtimeTree) each(rel string, but ...string) ([]sandbox.Mount, error) {
	list, err := t.list(rel)
	if err != nil {
		return nil, err
	}
	var out []sandbox.Mount
	for _, e := range list {
		if !slices.Contains(but, e.Name) {
			out = append(out, t.mount(path.Join(rel, e.Name), e))
		}
	}
	return out, nil
}

func (t runtimeTree) mount(rel string, e Entry) sandbox.Mount {
	if e.Link {
		return sandbox.Mount{Kind: sandbox.Symlink, Source: e.Target, Target: "/" + rel}
	}
	return sandbox.Mount{Kind: sandbox.RO, Source: filepath.Join(t.dir, rel), Target: "/" + rel}
}

// hosts is /etc/hosts without a network.
const hosts = "127.0.0.1 localhost nuka\n::1 localhost\n"

// BuildID is the user and group that a build sees itself as.
const BuildID = 1000

// BuildTree returns the mounts of a runtime for a build: they tell nothing of this machine or its user. list lists the tree whose folder on this
// machine is dir; this function looks at no file, so dir may be in a mount that this process serves.
func BuildTree(dir string, list Listing) ([]sandbox.Mount, error) {
	t := runtimeTree{dir, list}
	out, err := t.folders()
	if err != nil {
		return nil, err
	}
	etc, err := t.each("etc", "passwd", "group", "shadow", "gshadow", "hostname", "resolv.conf", "hosts", "mtab", "machine-id", "localtime", "timezone")
	if err != nil {
		return nil, err
	}
	out = append(out, etc...)
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/:/bin/sh\nnuka:x:1000:1000:nuka:/tmp/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
		"group":  "root:x:0:\nnuka:x:1000:\nnogroup:x:65534:\n", "hostname": "nuka\n", "hosts": hosts,
	} {
		out = append(out, sandbox.Mount{Kind: sandbox.File, Content: []byte(text), Target: "/etc/" + name})
	}
	return append(out,
		sandbox.Mount{Kind: sandbox.Symlink, Source: "/proc/self/mounts", Target: "/etc/mtab"},
		sandbox.Mount{Kind: sandbox.Proc, Target: "/proc"}, sandbox.Mount{Kind: sandbox.Dev, Target: "/dev"}, sandbox.Mount{Kind: sandbox.Tmpfs, Target: "/run"},
	), nil
}

// RuntimeRoot returns the files of the runtime of a box, as a program will see them, for elfdeps.
func (b *Box) RuntimeRoot() (elfdeps.Tree, error) {
	list, err := b.tree().folders()
	if err != nil {
		return nil, protocol.Errorf(protocol.Internal, "the runtime: %w", err)
	}
	etc, err := b.tree().each("etc")
	return (&Layout{Mounts: append(list, etc...)}).files(), err
}
