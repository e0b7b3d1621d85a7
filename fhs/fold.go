package fhs

import (
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// folded are the folders at the root that are links into usr (FHS 3.0 3.4, 3.9, 3.16; debian-policy 9.1.1: a merged /usr).
var folded = []string{"bin", "sbin", "lib", "lib64", "lib32", "libx32"}

// ofPrefix are the folders at the top of a package that belong below usr: those of a package that was built with a prefix.
var ofPrefix = []string{"bin", "sbin", "lib", "lib64", "libexec", "share", "include"}

// outside are the folders at the root that a box provides itself, or that users own. They are left out if no package has a file in them.
var outside = []string{"boot", "dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp"}

// control is the folder of the control archive of a Debian package.
const control = "DEBIAN"

// first returns the first part of a path, and the rest without its slash.
func first(at string) (head, rest string) {
	head, rest, _ = strings.Cut(at, "/")
	return head, rest
}

// fold returns the path of a file after bin, lib and the like have become links into usr.
func fold(at string) string {
	if head, _ := first(at); slices.Contains(folded, head) {
		return "usr/" + at
	}
	return at
}

// A mover gives the entries of one package their paths in the tree.
type mover struct {
	debian bool
	prefix string // before all paths
	err    error
}

// newMover looks at the top of a package's tree.
func newMover(entries []Entry) *mover {
	top := map[string]Kind{}
	m := &mover{}
	for i := range entries {
		e := &entries[i]
		if e.Path == control+"/control" && e.Kind == File {
			m.debian = true
		}
		if e.Path != "" && !strings.Contains(e.Path, "/") {
			top[e.Path] = e.Kind
		}
	}
	isDir := func(name string) bool { return top[name] == Dir }
	if !m.debian && top["usr"] == 0 && slices.ContainsFunc(ofPrefix, isDir) {
		m.prefix = "usr/"
	}
	return m
}

// move is the function move of merger.add.
func (m *mover) move(at string, e *Entry) (string, bool) {
	head, rest := first(at)
	if m.debian && head == control {
		return "", false
	}
	if m.prefix == "" && slices.Contains(folded, head) && rest == "" && e.Kind != Dir {
		if e.Kind == Link && path.Join("/", e.Target) == "/usr/"+head {
			return "", false // the tree has this link anyway: base-files of Debian 13 ships them
		}
		if m.err == nil {
			m.err = protocol.Errorf(protocol.Invalid, "%s is no folder, and every tree of the layout has the link %s → usr/%s", at, head, head)
		}
		return "", false
	}
	to := m.prefix + at
	if m.prefix == "" {
		to = fold(at)
	}
	if e.Kind == Link && m.prefix == "" && m.debian {
		e.Target = retarget(at, to, e.Target)
	}
	return to, true
}

// retarget returns the target of a link of a Debian package, which was at one path and is now at another. It leads to what it led to before.
// An absolute target becomes a relative one: it leads to the same file in a box, whose root is the tree, and to the tree's file where the
// tree is seen from outside.
func retarget(at, to, target string) string {
	below, absolute := strings.CutPrefix(target, "/")
	switch {
	case absolute:
		below = strings.TrimLeft(below, "/")
		if !hasDots(below) {
			below = strings.TrimPrefix(path.Clean("/"+below), "/")
		}
	case !hasDots(target):
		return target
	default:
		below = strings.TrimPrefix(path.Join("/", path.Dir(at), target), "/")
		if now := strings.TrimPrefix(path.Join("/", path.Dir(to), target), "/"); fold(now) == fold(below) {
			return target
		}
	}
	if relative := relativeTo(path.Dir(to), fold(below)); len(relative) <= maxTarget {
		return relative
	}
	return target
}

// maxTarget bounds the target of a link, as cid.CheckTarget does.
const maxTarget = 4095

func hasDots(at string) bool { return slices.Contains(strings.Split(at, "/"), "..") }

// relativeTo returns the way from a folder to a path, both below the root. The folder has no "..".
func relativeTo(dir, to string) string {
	var up []string
	if dir != "." && dir != "" {
		up = strings.Split(dir, "/")
	}
	down := strings.Split(to, "/")
	if to == "" {
		down = nil
	}
	if !hasDots(to) {
		for len(up) > 0 && len(down) > 1 && up[0] == down[0] {
			up, down = up[1:], down[1:]
		}
	}
	parts := append(slices.Repeat([]string{".."}, len(up)), down...)
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, "/")
}
