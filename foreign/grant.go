package foreign

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// within reports whether the clean path at is dir or below it.
func within(dir, at string) bool {
	rest, ok := strings.CutPrefix(at, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// grantFiles adds the mounts of a granted path. The program sees it under the path that the user wrote, after all links: a link in the granted path would
// otherwise decide what is granted. No grant shows what is hidden: a path inside it is refused, and below a path around it an empty folder covers it.
func (l *Layout) grantFiles(p permission.Permission, b *Box) error {
	hidden, name := b.Hidden, permission.Quote(p.Name)
	at, missing, err := l.resolve(p.Name)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "files=%s: %w", name, err)
	}
	for _, dir := range hidden {
		if within(dir, at) {
			return protocol.Errorf(protocol.Denied, "files=%s: %s belongs to nuka, or to another application, and is never granted", name, permission.Quote(at)).
				WithHint("copy the file that the program needs to another folder, and grant that")
		}
	}
	if slices.Contains(systemFolders, at) || at == "/" {
		return protocol.Errorf(protocol.Denied, "files=%s: the program has a %s of its own, from its runtime", name, at).
			WithHint("grant a folder below it, such as %s", filepath.Join(at, "NAME"))
	}
	for _, dir := range kernelFolders {
		if within(dir, at) {
			return protocol.Errorf(protocol.Denied, "files=%s: %s shows the kernel's state and the devices of this machine", name, dir).
				WithHint("devices have a permission of their own: --allow device=NAME")
		}
	}
	switch {
	case missing && p.Access == "create":
		if err := os.MkdirAll(at, 0o700); err != nil {
			return protocol.Errorf(protocol.Invalid, "make the granted folder: %w", err)
		}
	case missing && !slices.Contains(b.Given, p):
		l.Notes = append(l.Notes, "files="+name+": there is no such file or folder")
		return nil
	case missing:
		return protocol.Errorf(protocol.NotFound, "files=%s: there is no such file or folder", name).WithHint("let it be made: --allow files=%s:create", name)
	}
	kind := sandbox.RW
	if p.Access == "ro" {
		kind = sandbox.RO
	}
	l.add(sandbox.Mount{Kind: kind, Source: at, Target: at})
	l.folders = append(l.folders, at)
	if at != p.Name { // the program may use the name that the user wrote
		l.links = append(l.links, sandbox.Mount{Kind: sandbox.Symlink, Source: at, Target: p.Name})
	}
	for _, dir := range hidden {
		if within(at, dir) {
			_, _ = l.follow(dir) // a layout of the same grant differs if it exists
			if _, err := os.Lstat(dir); err == nil {
				l.covers = append(l.covers, dir)
			}
		}
	}
	return nil
}

// resolve returns the path that name is after all links, and whether it does not exist: then its nearest folder that exists is resolved.
func (l *Layout) resolve(name string) (at string, missing bool, err error) {
	rest := ""
	for dir := name; ; dir = filepath.Dir(dir) {
		at, err := l.follow(dir)
		if err == nil {
			return filepath.Join(at, rest), rest != "", nil
		}
		if _, link := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) || link == nil { // a link that leads nowhere
			return "", false, err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// systemFolders are the folders that come from the runtime, or that the sandbox makes.
var systemFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/var", "/opt", "/run", "/tmp", "/home"}

// kernelFolders are never granted, nor is anything below them.
var kernelFolders = []string{"/proc", "/sys", "/dev"}

// grantDevices adds the devices of a group that exist on this machine.
func (l *Layout) grantDevices(p permission.Permission) error {
	found := false
	for _, pattern := range permission.Devices[p.Name] {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			found = true
			l.add(sandbox.Mount{Kind: sandbox.Device, Source: name, Target: name})
		}
	}
	if !found {
		l.Notes = append(l.Notes, "device="+p.Name+": this machine has none of "+strings.Join(permission.Devices[p.Name], ", "))
	}
	if p.Name == "dri" {
		l.addGraphics(elfdeps.Tree{"/": "/"})
	}
	return nil
}

// A Session is what the sockets of a user's session are found by.
type Session struct {
	Runtime string // XDG_RUNTIME_DIR
	Getenv  func(string) string
}

// grantSocket adds a socket of a service of the session, and the variable by which programs find it.
func (l *Layout) grantSocket(p permission.Permission, b *Box) {
	s, runtimeDir := b.Session, runtimeDir(b.UID)
	at, name := "", ""
	inside := filepath.Join(runtimeDir, filepath.Base(p.Name))
	switch p.Name {
	case "wayland":
		at, name = s.Getenv("WAYLAND_DISPLAY"), "WAYLAND_DISPLAY"
		if at != "" && !filepath.IsAbs(at) {
			at = filepath.Join(s.Runtime, at)
		}
		inside = filepath.Join(runtimeDir, "wayland-0")
	case "x11":
		l.grantX11(s, runtimeDir)
		return
	case "pulseaudio":
		at, name, inside = filepath.Join(s.Runtime, "pulse/native"), "PULSE_SERVER", filepath.Join(runtimeDir, "pulse/native")
	case "ssh-auth":
		at, name = s.Getenv("SSH_AUTH_SOCK"), "SSH_AUTH_SOCK"
	case "gpg-agent":
		at, inside = filepath.Join(s.Runtime, "gnupg/S.gpg-agent"), filepath.Join(runtimeDir, "gnupg/S.gpg-agent")
	case "cups":
		at, inside = "/run/cups/cups.sock", "/run/cups/cups.sock"
	}
	info, err := os.Stat(at)
	if at == "" || err != nil || info.Mode()&fs.ModeSocket == 0 {
		l.Notes = append(l.Notes, "socket="+p.Name+": there is none in this session")
		return
	}
	l.add(sandbox.Mount{Kind: sandbox.RW, Source: at, Target: inside})
	switch name {
	case "":
	case "PULSE_SERVER":
		l.Env[name] = "unix:" + inside
	case "WAYLAND_DISPLAY":
		l.Env[name] = filepath.Base(inside)
	default:
		l.Env[name] = inside
	}
}

// grantX11 adds the socket of the X server, and the user's cookie for it.
func (l *Layout) grantX11(s Session, runtimeDir string) {
	display := s.Getenv("DISPLAY")
	number, ok := strings.CutPrefix(display, ":")
	number, _, _ = strings.Cut(number, ".")
	at := filepath.Join("/tmp/.X11-unix", "X"+number)
	if _, err := os.Stat(at); !ok || number == "" || err != nil {
		l.Notes = append(l.Notes, "socket=x11: there is no X server of this machine in DISPLAY")
		return
	}
	l.add(sandbox.Mount{Kind: sandbox.RW, Source: at, Target: "/tmp/.X11-unix/X" + number})
	l.Env["DISPLAY"] = ":" + number
	name := s.Getenv("XAUTHORITY")
	if name == "" {
		name = filepath.Join(s.Getenv("HOME"), ".Xauthority")
	}
	file, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return // a server that asks for none
	}
	if err == nil {
		file, err = cookiesFor(file, number)
	}
	if err != nil {
		l.Notes = append(l.Notes, "socket=x11: the cookies of the X server: "+err.Error())
		return
	}
	l.add(sandbox.Mount{Kind: sandbox.File, Content: file, Target: filepath.Join(runtimeDir, "Xauthority")})
	l.Env["XAUTHORITY"] = filepath.Join(runtimeDir, "Xauthority")
}
