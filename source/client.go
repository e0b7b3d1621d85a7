package source

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// A Client reads the user's configuration of the language and system package managers.
// It reads settings from the environment and from files first. If there are none, it runs the client program,
// because each program has a default of its own. The zero Client has no settings.
type Client struct {
	// Home is the user's home folder; if it is "", no file of it is read.
	Home string
	// Dir is the folder where the search for a project's configuration starts and goes upwards; if it is "", none is read.
	Dir string
	// System is the root of system-wide settings (/etc/apt, /etc/npmrc, …), normally "/"; if it is "", none are read.
	System string
	// Getenv looks up an environment variable; if it is nil, none is set.
	Getenv func(string) string
	// Run runs a client program and returns its output; if it is nil, no program is run.
	Run func(ctx context.Context, argv ...string) (string, error)
}

func (c *Client) env(names ...string) string {
	for _, name := range names {
		if c.Getenv == nil {
			break
		}
		if v := c.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func (c *Client) home(elem ...string) string {
	return below(c.Home, elem...)
}

func (c *Client) system(elem ...string) string {
	return below(c.System, elem...)
}

// RunClient is the usual Client.Run: it runs the program for at most a minute.
// It hides the variables that configure registries from the program: Client reads them before,
// and those of this process may belong to another command than the request.
func RunClient(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), configuresRegistry)
	out, err := cmd.Output()
	return string(out), err
}

// configuresRegistry reports whether a variable configures a registry.
func configuresRegistry(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	name = strings.ToUpper(name)
	return slices.ContainsFunc(Kinds(), func(k Kind) bool { return k.Config != nil && strings.HasPrefix(name, k.Config.Variables) })
}

// ask runs a client program and returns its output, or "" if it fails.
func (c *Client) ask(ctx context.Context, argv ...string) string {
	if c.Run == nil {
		return ""
	}
	out, err := c.Run(ctx, argv...)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// ErrNoRegistry reports that the user's configuration names no registry of a kind, and that no installed client program knows one.
var ErrNoRegistry = errors.New("no registry is configured")

// A noRegistryError is ErrNoRegistry with the hint for its kind.
type noRegistryError struct{ err error }

func (e *noRegistryError) Error() string   { return e.err.Error() }
func (e *noRegistryError) Unwrap() []error { return []error{e.err, ErrNoRegistry} }

func noRegistry(what, setting string) error {
	return &noRegistryError{protocol.Errorf(protocol.Unavailable, "no %s registry is configured", what).WithHint("%s", setting)}
}

// settings reads "key = value" lines of an ini-like file, with "[section]" before the key as "section.key".
func settings(path string) map[string]string { return readSettings(path, false) }

// continuedSettings is settings for a file in which an indented line continues the value before it.
func continuedSettings(path string) map[string]string { return readSettings(path, true) }

func readSettings(path string, continued bool) map[string]string {
	if path == "" {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	out, section, last := map[string]string{}, "", ""
	for raw := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) {
		line := strings.TrimSpace(raw)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if continued && last != "" && (raw[0] == ' ' || raw[0] == '\t') {
			out[last] += "\n" + line
			continue
		}
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section, last = strings.Trim(line, "[]")+".", ""
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if other, rest, colon := strings.Cut(line, ":"); continued && colon && (!ok || len(other) < len(key)) {
			key, value, ok = other, rest, true // either character may separate a key from its value
		}
		if last = ""; ok {
			last = section + strings.TrimSpace(key)
			out[last] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return out
}

// below joins a folder and further elements, or returns "" if the folder is "".
func below(dir string, elem ...string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// first returns the first non-empty text.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
