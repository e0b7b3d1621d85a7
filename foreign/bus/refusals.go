package bus

import (
	"context"
	"log/slog"
	"sync"
)

// maxRefusals bounds the different refusals that the log gets: a program could fill the disk with it.
const maxRefusals = 512

// refusals logs each different refusal, and each different fault of a connection, once.
type refusals struct {
	log  *slog.Logger // may be nil
	mu   sync.Mutex
	seen map[string]bool
}

// add logs that a message was refused. What begins the line; permission is the one that the program lacks, or empty where none would help.
func (r *refusals) add(what string, m *message, name, permission string) {
	attrs := []slog.Attr{slog.String("name", name), slog.String("interface", m.iface), slog.String("member", m.member)}
	if permission != "" {
		attrs = append(attrs, slog.String("permission", permission))
	}
	r.once("refused "+what, attrs...)
}

// fault logs a fault of a connection.
func (r *refusals) fault(what string, err error) { r.once(what, slog.String("error", err.Error())) }

func (r *refusals) once(what string, attrs ...slog.Attr) {
	if r == nil || r.log == nil {
		return
	}
	key := what
	for _, a := range attrs {
		key += "\x00" + a.Value.String()
	}
	r.mu.Lock()
	n := len(r.seen)
	known := r.seen[key]
	if !known && n < maxRefusals {
		if r.seen == nil {
			r.seen = map[string]bool{}
		}
		r.seen[key] = true
	}
	r.mu.Unlock()
	switch {
	case known || n >= maxRefusals:
	case n == maxRefusals-1:
		r.log.Warn("more refusals are not logged")
	default:
		r.log.LogAttrs(context.Background(), slog.LevelWarn, what, attrs...)
	}
}

// missing returns the permission that a program lacks for an access to a name.
func missing(name string, a Access) string {
	if name == "" || denied(name) || isUnique(name) {
		return ""
	}
	return "dbus=" + name + ":" + a.String()
}
