package source

import (
	"log/slog"
	"net/url"
	"strings"
)

// Registries is what a user's client configuration says about the registries of some origins, with the user's credentials for them.
// The command reads it and hands it to the daemon with a request, so that both ask the same registries.
// It is for the memory of one request: it must not be stored, logged or given to others.
type Registries struct {
	NPM    *NPMConfig   `json:"npm,omitempty"`
	PyPI   *PyPIConfig  `json:"pypi,omitempty"`
	Cargo  *CargoConfig `json:"cargo,omitempty"`
	Go     *GoConfig    `json:"go,omitempty"`
	Logins []Login      `json:"logins,omitempty"`

	stranger bool // see anonymous
}

// LogValue hides the credentials.
func (r *Registries) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String hides the credentials.
func (r *Registries) String() string { return "registries" }

// Registries reads the configuration for some kinds of origins. It runs no program.
func (c *Client) Registries(origins ...Origin) *Registries {
	r := &Registries{}
	for _, o := range origins {
		switch o.Kind {
		case NPM:
			if r.NPM == nil {
				r.NPM = c.npm()
			}
			continue // npm reads no netrc
		case PyPI:
			if r.PyPI == nil {
				r.PyPI = c.pypi()
			}
		case Crate:
			if r.Cargo == nil {
				r.Cargo = c.cargo()
			}
			continue
		case Go:
			if r.Go == nil {
				r.Go = c.goModules()
			}
		case URL, Git:
		default:
			continue
		}
		if r.Logins == nil {
			r.Logins = c.netrc()
		}
	}
	return r
}

// anonymous returns the addresses without the credentials.
func (r *Registries) anonymous() *Registries {
	out := &Registries{stranger: true}
	if r.NPM != nil {
		out.NPM = &NPMConfig{Settings: map[string]string{}}
		for key, value := range r.NPM.Settings {
			if key == "registry" || strings.HasSuffix(key, ":registry") {
				out.NPM.Settings[key] = withoutUser(value)
			}
		}
	}
	if r.PyPI != nil {
		out.PyPI = &PyPIConfig{Index: withoutUser(r.PyPI.Index)}
		for _, extra := range r.PyPI.Extra {
			out.PyPI.Extra = append(out.PyPI.Extra, withoutUser(extra))
		}
	}
	if r.Cargo != nil {
		cargo := *r.Cargo
		cargo.Index, cargo.Token = withoutUser(cargo.Index), ""
		out.Cargo = &cargo
	}
	if r.Go != nil {
		var list strings.Builder
		for proxy, separator := range eachProxy(r.Go.Proxy) {
			list.WriteString(withoutUser(proxy) + separator)
		}
		out.Go = &GoConfig{Proxy: list.String(), NoProxy: r.Go.NoProxy}
	}
	return out
}

// registries returns the configuration that a request is served by.
// Its own, if it brings one; else that of the process, without credentials if the request is a stranger's.
func (f *Fetcher) registries(r *Request) *Registries {
	if r.Registries != nil {
		return r.Registries
	}
	own := f.o.Client.Registries(r.Origins...)
	if r.Anonymous {
		return own.anonymous()
	}
	return own
}

func (r *Registries) npm() *NPMConfig {
	if r.NPM == nil {
		return &NPMConfig{}
	}
	return r.NPM
}

func (r *Registries) pypi() *PyPIConfig {
	if r.PyPI == nil {
		return &PyPIConfig{}
	}
	return r.PyPI
}

func (r *Registries) cargo() *CargoConfig {
	if r.Cargo == nil {
		return &CargoConfig{}
	}
	return r.Cargo
}

func (r *Registries) goModules() *GoConfig {
	if r.Go == nil {
		return &GoConfig{}
	}
	return r.Go
}

// withoutUser drops a name and a password from an address.
func withoutUser(address string) string {
	prefix, rest, _ := strings.Cut(address, "://")
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return shown(u)
	} else if err != nil && strings.Contains(rest, "@") { // whatever it is, what stands before the last @ may be a password
		return prefix + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	return address
}
