package source

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// Registries is what a user's client configuration says about the registries of some origins, with the user's credentials for them.
// The command reads it and hands it to the daemon with a request, so that both ask the same registries.
// It is for the memory of one request: it must not be stored, logged or given to others.
type Registries struct {
	// Clients are the configurations by the name of their ConfigKind.
	Clients map[string]Config
	Logins  []Login

	stranger bool // see anonymous
}

// A Config is the configuration of the client of a kind of registry.
type Config interface {
	// anonymous returns the addresses without the credentials.
	anonymous() Config
}

// A ConfigKind reads one kind of configuration.
type ConfigKind struct {
	Name string // the name of its field in JSON
	// Variables is what the names of environment variables that name registries begin with, in capitals.
	Variables string
	Read      func(*Client) Config
	New       func() Config // an empty one, to decode into
}

// netrcField is the name of the logins in JSON.
const netrcField = "logins"

// configOf returns the configuration of a name, or an empty one.
func configOf[T any](r *Registries, name string) *T {
	if c, ok := r.Clients[name].(any).(*T); ok && c != nil {
		return c
	}
	return new(T)
}

// MarshalJSON returns an object with a field for each configuration.
func (r *Registries) MarshalJSON() ([]byte, error) {
	all := map[string]any{}
	for name, c := range r.Clients {
		all[name] = c
	}
	if len(r.Logins) > 0 {
		all[netrcField] = r.Logins
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads the configurations of the kinds that there are, and takes no notice of others.
func (r *Registries) UnmarshalJSON(b []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*r = Registries{}
	if text, ok := all[netrcField]; ok {
		if err := json.Unmarshal(text, &r.Logins); err != nil {
			return fmt.Errorf("logins: %w", err)
		}
	}
	for _, k := range Kinds() {
		if k.Config == nil || all[k.Config.Name] == nil {
			continue
		}
		c := k.Config.New()
		if err := json.Unmarshal(all[k.Config.Name], c); err != nil {
			return fmt.Errorf("%s: %w", k.Config.Name, err)
		}
		r.set(k.Config.Name, c)
	}
	return nil
}

func (r *Registries) set(name string, c Config) {
	if r.Clients == nil {
		r.Clients = map[string]Config{}
	}
	r.Clients[name] = c
}

// LogValue hides the credentials.
func (r *Registries) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String hides the credentials.
func (r *Registries) String() string { return "registries" }

// Registries reads the configuration for some kinds of origins. It runs no program.
func (c *Client) Registries(origins ...Origin) *Registries {
	r := &Registries{}
	for _, o := range origins {
		k := o.Kind.find()
		if k == nil {
			continue
		}
		if k.Config != nil && r.Clients[k.Config.Name] == nil {
			r.set(k.Config.Name, k.Config.Read(c))
		}
		if k.Netrc && r.Logins == nil {
			r.Logins = c.netrc()
		}
	}
	return r
}

// anonymous returns the addresses without the credentials.
func (r *Registries) anonymous() *Registries {
	out := &Registries{stranger: true}
	for name, c := range r.Clients {
		out.set(name, c.anonymous())
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
