package bus

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	appPrefix = "org.nuka."
	maxApp    = 128 // bytes of an application's escaped name in its id
)

// AppID returns the id that portals know an application by: "org.nuka." and the application's name. Letters, digits after the first byte, and "-"
// stay; "_" becomes "__", and any other byte "_" and two hexadecimal digits. Different names have different ids, also where a long name is
// replaced by its hash, which begins with "_h": an application never gets the files and permissions of another.
func AppID(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_':
			b.WriteString("__")
		case c == '-' && i > 0, c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	if b.Len() == 0 || b.Len() > maxApp {
		return fmt.Sprintf("%s_h%x", appPrefix, sha256.Sum256([]byte(name)))
	}
	return appPrefix + b.String()
}

// An Instance is what the portals learn about one run of an application.
type Instance struct {
	App     string // the application's id
	ID      string // of this run; digits
	Runtime string // its name, for people
	// AppPath and RuntimePath are the folders of the host that the sandbox shows as /app and /usr; empty if it shows none.
	AppPath, RuntimePath string
	// Network says whether the sandbox shares the network. Without it, portals tell the program nothing about the network.
	Network bool
	Sockets []string // granted sockets, as "wayland"
	Policy  *Policy  // nil grants no name
}

// FlatpakInfo returns the file /.flatpak-info, by which portals identify a sandboxed program: they read it below the root of the process that
// is connected to the bus, which is the filter. Source: flatpak-metadata(5), and the [Instance] group that flatpak writes.
func FlatpakInfo(i *Instance) []byte {
	var b strings.Builder
	group := func(name string, pairs ...string) {
		fmt.Fprintf(&b, "[%s]\n", name)
		for n := 0; n < len(pairs); n += 2 {
			if pairs[n+1] != "" {
				fmt.Fprintf(&b, "%s=%s\n", pairs[n], pairs[n+1])
			}
		}
		b.WriteByte('\n')
	}
	shared := []string{"ipc"}
	if i.Network {
		shared = []string{"network", "ipc"}
	}
	group("Application", "name", escape(i.App), "runtime", escape("runtime/"+i.Runtime))
	group("Instance", "instance-id", escape(i.ID), "app-path", escape(i.AppPath), "runtime-path", escape(i.RuntimePath),
		"session-bus-proxy", "true", "system-bus-proxy", "true", "flatpak-version", "1.14.4")
	group("Context", "shared", list(shared), "sockets", list(i.Sockets))
	if i.Policy != nil {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(i.Policy.Names)) {
			pairs = append(pairs, name, i.Policy.Names[name].String())
		}
		group("Session Bus Policy", pairs...)
	}
	return []byte(b.String())
}

// escape writes a value of a key file: GLib unescapes these.
var escaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", "")

func escape(s string) string {
	s = escaper.Replace(s)
	if rest := strings.TrimLeft(s, " "); len(rest) < len(s) {
		s = strings.Repeat(`\s`, len(s)-len(rest)) + rest
	}
	return s
}

func list(all []string) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(strings.ReplaceAll(escape(s), ";", `\;`) + ";")
	}
	return b.String()
}

// A Bind is a folder of the host that a sandbox shows, writable.
type Bind struct{ Source, Target string }

// DocumentBinds returns the folders that a sandbox needs for the document portal, whose file system StartDocuments returned. An application sees
// the documents that were granted to it, and no others. The portal names documents by their path on the host, so the first bind has that path.
func DocumentBinds(mount, app string) []Bind {
	source := path.Join(mount, "by-app", app)
	return []Bind{{source, mount}, {source, "/run/flatpak/doc"}}
}
