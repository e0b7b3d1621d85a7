package foreign

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// runtimeDir returns XDG_RUNTIME_DIR inside.
func runtimeDir(uid int) string { return "/run/user/" + strconv.Itoa(uid) }

// A Box describes a run of a foreign program.
type Box struct {
	App string // the name of the application
	// Tree is the folder of the runtime on this machine: the root of an FHS tree.
	Tree string
	// Home is the private home folder of the application on this machine. The program sees it as the user's home folder.
	Home string
	// UserHome is the user's own home folder.
	UserHome string
	User     string
	UID, GID int
	// Grants are the permissions, with absolute paths.
	Grants []permission.Permission
	// Given are those of them that the user gave for this run: what they name must exist.
	Given []permission.Permission
	// Hidden are folders that no permission shows: nuka's own, and the private homes of other applications.
	Hidden []string
	// Shown are files and folders of this machine that the program sees read-only at their own paths, such as the program itself.
	Shown   []string
	Session Session
	Getenv  func(string) string
	Here    string // the current folder
}

// InsideHome returns the folder at which the program sees the private home: the user's own home folder.
func (b *Box) InsideHome() string {
	if b.UserHome == "" || b.UserHome == "/" {
		return "/root"
	}
	return b.UserHome
}

// A Layout is what a foreign program will see.
type Layout struct {
	Mounts []sandbox.Mount
	Env    map[string]string
	// Network reports whether the program shares the network of this machine.
	Network bool
	// Notes tell what a permission could not give.
	Notes []string

	links   []sandbox.Mount
	covers  []string
	folders []string // that are granted
}

func (l *Layout) add(m sandbox.Mount) { l.Mounts = append(l.Mounts, m) }

// Layout returns what the program of a box will see.
func (b *Box) Layout() (*Layout, error) {
	l := &Layout{Env: map[string]string{}}
	if err := l.runtime(b); err != nil {
		return nil, err
	}
	for _, m := range []sandbox.Mount{
		{Kind: sandbox.Proc, Target: "/proc"}, {Kind: sandbox.Dev, Target: "/dev"},
		{Kind: sandbox.Tmpfs, Target: "/tmp", Mode: 0o1777}, {Kind: sandbox.Tmpfs, Target: "/run"}, {Kind: sandbox.Tmpfs, Target: runtimeDir(b.UID), Mode: 0o700},
	} {
		l.add(m)
	}
	home := b.InsideHome()
	l.add(sandbox.Mount{Kind: sandbox.RW, Source: b.Home, Target: home})
	maps.Copy(l.Env, map[string]string{
		"HOME": home, "USER": b.User, "LOGNAME": b.User, "PATH": home + "/.local/bin:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
		"XDG_RUNTIME_DIR": runtimeDir(b.UID), "TMPDIR": "/tmp", "container": "nuka",
	})
	for _, p := range permission.Sort(b.Grants) {
		if err := l.grant(p, b); err != nil {
			return nil, err
		}
	}
	if err := l.etc(b); err != nil {
		return nil, err
	}
	for _, at := range b.Shown {
		l.add(sandbox.Mount{Kind: sandbox.RO, Source: at, Target: at})
	}
	l.Mounts = append(l.Mounts, l.links...)
	for _, dir := range l.covers {
		l.add(sandbox.Mount{Kind: sandbox.Tmpfs, Target: dir, Mode: 0o555})
	}
	return l, nil
}

// runtime adds the folders of the tree but etc.
func (l *Layout) runtime(b *Box) error {
	list, err := b.tree().folders()
	if err != nil {
		return protocol.Errorf(protocol.Internal, "the runtime: %w", err)
	}
	l.Mounts = append(l.Mounts, list...)
	return nil
}

// tree returns the tree of the runtime.
func (b *Box) tree() runtimeTree { return runtimeTree{b.Tree, folderListing(b.Tree)} }

// each adds the entries of a folder of the runtime, but for some.
func (l *Layout) each(b *Box, rel string, but ...string) error {
	list, err := b.tree().each(rel, but...)
	l.Mounts = append(l.Mounts, list...)
	return err
}

// bundle is where Debian has the certificates of authorities.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// etc adds /etc: the runtime's files, the user in passwd and group, and with the network the machine's names and certificates.
func (l *Layout) etc(b *Box) error {
	own := []string{"passwd", "group", "hostname", "resolv.conf", "hosts", "mtab", "machine-id"}
	if l.Network {
		own = append(own, "ssl")
	}
	if _, err := os.Stat("/etc/localtime"); err == nil {
		own = append(own, "localtime")
	}
	etc := filepath.Join(b.Tree, "etc")
	if err := l.each(b, "etc", own...); err != nil {
		return err
	}
	home := l.Env["HOME"]
	accounts := map[string]string{
		"passwd": b.User + ":x:" + strconv.Itoa(b.UID) + ":" + strconv.Itoa(b.GID) + "::" + home + ":/bin/sh\n",
		"group":  b.User + ":x:" + strconv.Itoa(b.GID) + ":\n",
	}
	for name, line := range accounts {
		text, err := os.ReadFile(filepath.Join(etc, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.add(sandbox.Mount{Kind: sandbox.File, Content: []byte(withAccount(string(text), line)), Target: "/etc/" + name})
	}
	l.add(sandbox.Mount{Kind: sandbox.File, Content: []byte("nuka\n"), Target: "/etc/hostname"})
	l.add(sandbox.Mount{Kind: sandbox.Symlink, Source: "/proc/self/mounts", Target: "/etc/mtab"})
	if at, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
		l.add(sandbox.Mount{Kind: sandbox.RO, Source: at, Target: "/etc/localtime"})
	}
	if !l.Network {
		l.add(sandbox.Mount{Kind: sandbox.File, Content: []byte(hosts), Target: "/etc/hosts"})
		return nil
	}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if at, err := filepath.EvalSymlinks(name); err == nil {
			l.add(sandbox.Mount{Kind: sandbox.RO, Source: at, Target: name})
		}
	}
	return l.certificates(b)
}

// withAccount returns a list of accounts with a line in place of those of the same name or number.
func withAccount(text, line string) string {
	fields := strings.Split(line, ":")
	var out strings.Builder
	for old := range strings.Lines(text) {
		f := strings.Split(old, ":")
		if len(f) > 2 && f[0] != fields[0] && f[2] != fields[2] {
			out.WriteString(old)
		}
	}
	return line + out.String()
}

// certificates adds /etc/ssl with the machine's bundle in place of the runtime's: a machine may know authorities of its own site.
func (l *Layout) certificates(b *Box) error {
	if err := l.each(b, "etc/ssl", "certs"); err != nil {
		return err
	}
	host, err := filepath.EvalSymlinks(bundle)
	if err != nil {
		return l.each(b, "etc/ssl/certs")
	}
	if err := l.each(b, "etc/ssl/certs", filepath.Base(bundle)); err != nil {
		return err
	}
	l.add(sandbox.Mount{Kind: sandbox.RO, Source: host, Target: bundle})
	for _, name := range []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"} {
		l.Env[name] = bundle
	}
	return nil
}

func (l *Layout) grant(p permission.Permission, b *Box) error {
	switch p.Kind {
	case permission.Network:
		if p.Name != "" {
			return protocol.Errorf(protocol.Unsupported, "%s: the network cannot be narrowed to hosts yet", p).WithHint("allow all of it, or none: --allow network")
		}
		l.Network = true
	case permission.Files:
		return l.grantFiles(p, b)
	case permission.Device:
		return l.grantDevices(p)
	case permission.Socket:
		l.grantSocket(p, b)
	case permission.DBus:
		return protocol.Errorf(protocol.Unsupported, "%s: the session bus cannot be reached yet", p)
	}
	return nil
}

// Root returns the files that the program will see, for elfdeps.
func (l *Layout) Root() elfdeps.Tree {
	tree := elfdeps.Tree{}
	for _, m := range l.Mounts {
		switch m.Kind {
		case sandbox.RO, sandbox.RW:
			tree[m.Target] = m.Source
		}
	}
	for _, m := range l.Mounts { // links of the root, such as /bin to usr/bin
		if m.Kind != sandbox.Symlink {
			continue
		}
		target := m.Source
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(m.Target), target)
		}
		if at, ok := tree.Host(target); ok {
			tree[m.Target] = at
		}
	}
	return tree
}
