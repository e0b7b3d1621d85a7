package permission

import (
	"fmt"
	"maps"
	"slices"

	"github.com/MordragT/nuka/pir/nuon"
)

// lists maps the fields of a record that hold lists to the kinds of their permissions.
var lists = map[string]Kind{"network": Network, "files": Files, "devices": Device, "sockets": Socket}

// FromRecord reads the permissions that a package asks for, the field permissions of its run record:
//
//	{network: true, files: ["~/Documents:ro"], devices: [dri], sockets: [wayland], dbus: {"org.example.App": own}}
//
// network may be a list of HOST:PORT. Paths must begin with / or ~.
func FromRecord(v any) ([]Permission, error) {
	rec, ok := v.(nuon.Record)
	if !ok {
		return nil, fmt.Errorf("permissions: want a record, got %T", v)
	}
	var out []Permission
	add := func(field string, p Permission, err error) error {
		if err == nil && p.Kind == Files {
			_, err = p.Resolve("/", "")
		}
		if err != nil {
			return fmt.Errorf("permissions: %s: %w", field, err)
		}
		out = append(out, p)
		return nil
	}
	for _, field := range slices.Sorted(maps.Keys(rec)) {
		if field == "dbus" {
			names, ok := rec[field].(nuon.Record)
			if !ok {
				return nil, fmt.Errorf("permissions: dbus: want a record of names and see, talk or own")
			}
			for name, access := range names {
				text, _ := access.(string)
				p := Permission{DBus, name, text}
				if text == "" {
					return nil, fmt.Errorf("permissions: dbus: %.100q: want see, talk or own", name)
				}
				if err := add(field, p, p.Check()); err != nil {
					return nil, err
				}
			}
			continue
		}
		kind, known := lists[field]
		if !known {
			return nil, fmt.Errorf("permissions: unknown field %.100q: want network, files, devices, sockets, dbus", field)
		}
		if all, ok := rec[field].(bool); ok && kind == Network {
			if all {
				out = append(out, Permission{Kind: Network})
			}
			continue
		}
		list, ok := rec[field].(nuon.List)
		if !ok {
			return nil, fmt.Errorf("permissions: %s: want a list", field)
		}
		for _, v := range list {
			text, ok := v.(string)
			if !ok || text == "" {
				return nil, fmt.Errorf("permissions: %s: want texts", field)
			}
			p, err := Parse(string(kind) + "=" + text)
			if err := add(field, p, err); err != nil {
				return nil, err
			}
		}
	}
	return Sort(out), nil
}
