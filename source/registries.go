package source

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// Registries is a user's client configuration for the registries of some origins, including the user's credentials.
// The command reads it and sends it to the daemon with a request, so both use the same registries.
// It may be kept in memory for one request, and must not be stored, logged or sent to others.
type Registries struct {
	// Clients maps the names of ConfigKinds to configurations.
	Clients map[string]Config
	Logins  []Login

	stranger bool // see the method anonymous
}

// A Config is the client configuration for a kind of registry.
type Config interface {
	// anonymous returns a copy without the credentials.
	anonymous() Config
}

// A ConfigKind reads one kind of configuration.
type ConfigKind struct {
	Name string // the name of its JSON field
	// Variables is the prefix, in capitals, of environment variables that name registries.
	Variables string
	Read      func(*Client) Config
	New       func() Config // returns an empty one, to decode into
}

// netrcField is the JSON field of the logins.
const netrcField = "logins"

// configOf returns the configuration with a name, or an empty one.
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

// UnmarshalJSON reads the configurations of known kinds and ignores others.
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

// anonymous returns a copy without the credentials.
func (r *Registries) anonymous() *Registries {
	out := &Registries{stranger: true}
	for name, c := range r.Clients {
		out.set(name, c.anonymous())
	}
	return out
}

// registries returns the configuration for a request: its own if it has one,
// otherwise that of this process, without credentials if the requester is another user.
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

// withoutUser removes a name and a password from an address.
func withoutUser(address string) string {
	prefix, rest, _ := strings.Cut(address, "://")
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return shown(u)
	} else if err != nil && strings.Contains(rest, "@") { // not a valid address, but the part before the last @ may be a password
		return prefix + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	return address
}
