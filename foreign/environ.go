package foreign

import (
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/prepared"
	"github.com/MordragT/nuka/sandbox"
)

// Environ returns the environment of the program: that of the layout, what tells of the terminal, and what the user adds, as NAME=VALUE or a NAME to pass through.
func (l *Layout) Environ(getenv func(string) string, add []string) []string {
	env := maps.Clone(l.Env)
	for _, name := range prepared.Passed {
		if v := getenv(name); v != "" {
			env[name] = v
		}
	}
	for _, pair := range add {
		name, value, given := strings.Cut(pair, "=")
		if !given {
			value = getenv(name)
		}
		env[name] = value
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// Dir returns the folder that the program starts in: the current one if the program sees it, else its home.
func (l *Layout) Dir(here string) string {
	for _, dir := range l.folders {
		if within(dir, here) {
			return here
		}
	}
	return l.Env["HOME"]
}

// AddBus gives the program a socket of a filter as its session bus, and the file by which toolkits know that they are in a sandbox and use the portals.
func (l *Layout) AddBus(b *Box, socket string, info []byte) {
	inside := runtimeDir(b.UID) + "/bus"
	l.add(sandbox.Mount{Kind: sandbox.RW, Source: socket, Target: inside})
	l.add(sandbox.Mount{Kind: sandbox.File, Content: info, Target: "/.flatpak-info"})
	l.Env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=" + inside
}

// Setup adds variables, and files below a folder, that point a client at a registry.
func (l *Layout) Setup(env, files map[string]string, dir string) {
	maps.Copy(l.Env, env)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		l.add(sandbox.Mount{Kind: sandbox.File, Content: []byte(files[name]), Target: dir + "/" + name})
	}
}
