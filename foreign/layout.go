package foreign

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// ProxyPort is where the proxy of a program with some hosts listens inside.
const ProxyPort = 3128

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
	Shown []string
	// Packages are mounts of packages, beside the runtime.
	Packages []sandbox.Mount
	Session  Session
	Getenv   func(string) string
	Here     string // the current folder
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
	// Hosts are the hosts with ports that the program may reach through a proxy, if it does not share the network.
	Hosts []string
	// Notes tell what a permission could not give.
	Notes []string

	// Followed has where paths of this machine led when the layout was made, "" for nowhere: the layout depends on it.
	Followed map[string]string
	// Examined has the paths of this machine, outside of the runtime, that Root has looked at, and whether it listed the folder there.
	Examined map[string]bool

	tree    string // the folder of the runtime
	links   []sandbox.Mount
	covers  []string
	folders []string // that are granted
}

func (l *Layout) add(m sandbox.Mount) { l.Mounts = append(l.Mounts, m) }

// Layout returns what the program of a box will see.
func (b *Box) Layout() (*Layout, error) {
	l := &Layout{Env: map[string]string{}, Followed: map[string]string{}, Examined: map[string]bool{}, tree: b.Tree}
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
	l.Mounts = append(append(l.Mounts, b.Packages...), l.links...)
	for _, dir := range l.covers {
		l.add(sandbox.Mount{Kind: sandbox.Tmpfs, Target: dir, Mode: 0o555})
	}
	return l, l.Places(b)
}

// Places makes the places in the private home on which other files are mounted. It is needed again after mounts were added. A link that the program left in its
// home leads nowhere: it is an error.
func (l *Layout) Places(b *Box) error {
	home := b.InsideHome()
	root, err := os.OpenRoot(b.Home)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, m := range l.Mounts {
		if m.Target == home || !within(home, m.Target) || l.granted(m.Target) {
			continue
		}
		rel, folder := strings.TrimPrefix(m.Target, home+"/"), true
		switch m.Kind {
		case sandbox.RO, sandbox.RW, sandbox.Device:
			info, err := os.Stat(m.Source)
			if err != nil {
				return err
			}
			folder = info.IsDir()
		case sandbox.File:
			folder = false
		case sandbox.Symlink:
			continue
		}
		if err := place(root, rel, folder); err != nil {
			return protocol.Errorf(protocol.Invalid, "make the place for %s in the home of the application: %w", m.Target, err).
				WithHint("look into %s for a link or a file in its way", b.Home)
		}
	}
	return nil
}

// granted reports whether a target is below a granted folder, whose files are those of the machine.
func (l *Layout) granted(target string) bool {
	return slices.ContainsFunc(l.folders, func(dir string) bool { return dir != target && within(dir, target) })
}

func place(root *os.Root, rel string, folder bool) error {
	if folder {
		return root.MkdirAll(rel, 0o700)
	}
	if err := root.MkdirAll(filepath.Dir(rel), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(rel, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
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
	online := l.Network || len(l.Hosts) > 0
	if online {
		own = append(own, "ssl")
	}
	if _, err := l.follow("/etc/localtime"); err == nil {
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
	if at, err := l.follow("/etc/localtime"); err == nil {
		l.add(sandbox.Mount{Kind: sandbox.RO, Source: at, Target: "/etc/localtime"})
	}
	if !l.Network {
		l.add(sandbox.Mount{Kind: sandbox.File, Content: []byte(hosts), Target: "/etc/hosts"})
		if !online {
			return nil
		}
		return l.certificates(b)
	}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if at, err := l.follow(name); err == nil {
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
	host, err := l.follow(bundle)
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
		if p.Name == "" {
			l.Network = true
			return nil
		}
		l.Hosts = append(l.Hosts, p.Name)
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
			l.Env[name] = "http://127.0.0.1:" + strconv.Itoa(ProxyPort)
		}
	case permission.Files:
		return l.grantFiles(p, b)
	case permission.Device:
		return l.grantDevices(p)
	case permission.Socket:
		l.grantSocket(p, b)
	case permission.DBus: // cmd/nuka starts a filter for them
	}
	return nil
}

// follow returns what a path of this machine leads to after all links, and notes it.
func (l *Layout) follow(name string) (string, error) {
	at, err := filepath.EvalSymlinks(name)
	if err != nil {
		at = ""
	}
	l.Followed[name] = at
	return at, err
}

// Root returns the files that the program will see, for elfdeps. It notes in Examined what is looked at.
func (l *Layout) Root() elfdeps.Root { return watched{l.files(), l} }

// files returns the files that the program will see.
func (l *Layout) files() elfdeps.Tree {
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
