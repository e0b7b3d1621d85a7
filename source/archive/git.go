package archive

import (
	"bytes"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/MordragT/nuka/protocol"
)

// treeOf returns the id of a commit's tree. Id may be a tag of the commit.
func (p *gitPack) treeOf(id string) (string, error) {
	for range maxTags + 1 {
		at, ok := p.ids[id]
		if !ok {
			return "", badPack("the object %x is not in it", id)
		}
		want := ""
		switch kind := p.objects[at].kind; kind {
		case objCommit:
			want = "tree "
		case objTag:
			want = "object "
		default:
			return "", protocol.Errorf(protocol.NotFound, "git: %x is a %s and no commit", id, objNames[kind])
		}
		content, err := p.content(at)
		if err != nil {
			return "", err
		}
		line, _, _ := bytes.Cut(content, []byte("\n"))
		text, ok := strings.CutPrefix(string(line), want)
		next, err := hex.DecodeString(text)
		if !ok || err != nil || len(next) != len(id) {
			return "", badPack("the first line of %x is %.100q", id, line)
		}
		if id = string(next); p.objects[at].kind == objCommit {
			return id, nil
		}
	}
	return "", badPack("more than %d tags of tags", maxTags)
}

// The modes of the entries of a git tree.
const (
	modeKind   = 0o170000
	modeDir    = 0o040000
	modeFile   = 0o100000
	modeLink   = 0o120000
	modeModule = 0o160000
)

// writeTree writes a git tree below the folder at prefix, which is "" or ends with a slash.
// Each entry counts against the limits, so a tree that repeats another one many times ends like any large tree.
func (p *gitPack) writeTree(id, prefix string) error {
	at, ok := p.ids[id]
	if !ok || p.objects[at].kind != objTree {
		return badPack("the tree %x of %.200q is not in it", id, prefix)
	}
	content, err := p.content(at)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for len(content) > 0 {
		head, rest, ok := bytes.Cut(content, []byte{0})
		mode, name, spaced := strings.Cut(string(head), " ")
		bits, err := strconv.ParseUint(mode, 8, 32)
		if !ok || !spaced || err != nil || len(rest) < len(id) {
			return badPack("the tree of %.200q is cut off or malformed", prefix)
		}
		entry := string(rest[:len(id)])
		content = rest[len(id):]
		if why := badGitName(name); why != "" {
			return refuse(prefix+name, why)
		}
		if seen[name] {
			return refuse(prefix+name, "it is twice in one git tree")
		}
		seen[name] = true
		if err := p.writeEntry(bits, entry, prefix+name); err != nil {
			return err
		}
	}
	return nil
}

func (p *gitPack) writeEntry(mode uint64, id, name string) error {
	if mode&modeKind == modeModule {
		return p.module(name, id)
	}
	at, ok := p.ids[id]
	if !ok {
		return badPack("the object %x of %.200q is not in it", id, name)
	}
	o := &p.objects[at]
	if mode&modeKind == modeDir {
		if err := p.w.admit(name, 0); err != nil {
			return err
		}
		if err := p.w.dir(name); err != nil {
			return err
		}
		return p.writeTree(id, name+"/")
	}
	if o.kind != objBlob {
		return badPack("the object %x of %.200q is a %s", id, name, objNames[o.kind])
	}
	switch mode & modeKind {
	case modeFile:
		if err := p.w.admit(name, o.size); err != nil {
			return err
		}
		r, err := p.blob(at)
		if err != nil {
			return err
		}
		return p.w.file(name, o.size, mode&0o100 != 0, r)
	case modeLink:
		if err := p.w.admit(name, o.size); err != nil {
			return err
		}
		if o.size > maxLinkTarget {
			return refuse(name, "a link that no tree can hold: its target is too long")
		}
		target, err := p.content(at)
		if err != nil {
			return err
		}
		return p.w.symlink(name, string(target))
	}
	return refuse(name, "an entry of mode "+strconv.FormatUint(mode, 8))
}

// maxModules bounds the submodules of a tree.
const maxModules = 1000

// module writes an empty folder in place of a submodule and records it.
func (p *gitPack) module(name, id string) error {
	if err := p.w.admit(name, 0); err != nil {
		return err
	}
	if len(p.w.result.Submodules) == maxModules {
		return protocol.Errorf(protocol.Exhausted, "git: more than %d submodules", maxModules)
	}
	p.w.result.Submodules = append(p.w.result.Submodules, Submodule{Path: name, Commit: hex.EncodeToString([]byte(id))})
	return p.w.dir(name)
}

// maxLinkTarget bounds a link's target before it is read into memory; cid.CheckTarget decides.
const maxLinkTarget = 1 << 20

// blob returns a reader of a file's content. If the file is not a delta, the reader streams it.
func (p *gitPack) blob(at int32) (io.Reader, error) {
	if content, held := p.cached[at]; held {
		return bytes.NewReader(content), nil
	}
	if p.objects[at].base < 0 {
		return p.reader(at)
	}
	content, err := p.content(at)
	return bytes.NewReader(content), err
}

// badGitName returns the reason why git refuses a name, or "".
// Apart from names that no path has, it refuses those that some system treats as .git, where git finds commands to run.
func badGitName(name string) string {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return "git trees have no such name"
	}
	for part := range strings.SplitSeq(name, "\\") {
		// NTFS: a stream after a colon, a short name, spaces and dots at the end.
		part, _, _ = strings.Cut(part, ":")
		short := strings.ToLower(strings.TrimRight(part, " ."))
		// HFS+: ignored characters.
		plain := strings.ToLower(strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, part))
		if short == ".git" || short == "git~1" || plain == ".git" || strings.TrimRight(plain, " .") == ".git" {
			return "a name that some systems take for .git"
		}
	}
	return ""
}
