package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/apt"
)

// A library finder knows the Debian packages of shared libraries: those that the lock file of the package set has, and the others of its suites.
type libraries struct {
	a       *app
	lock    *apt.Lock
	sonames *apt.Sonames
	added   []apt.Pin // packages that the application has beyond its runtime
}

// debianArch returns Debian's name for the processor of this machine.
func debianArch() string { return runtime.GOARCH }

// libraries reads the lock file and the table of libraries of the package set.
func (a *app) libraries() (*libraries, error) {
	var set fs.FS = packages.FS
	if a.set != "" {
		set = os.DirFS(a.set)
		if _, err := fs.Stat(set, "base/debian"); err != nil {
			set = packages.FS
		}
	}
	l := &libraries{a: a}
	arch := debianArch()
	text, err := fs.ReadFile(set, "base/debian/"+arch+".nu")
	if err != nil {
		return nil, protocol.Errorf(protocol.Unsupported, "the package set has no Debian packages for %s", arch)
	}
	if l.lock, err = apt.DecodeLock(text); err != nil {
		return nil, err
	}
	if text, err = fs.ReadFile(set, "base/debian/soname-"+arch+".gz"); err == nil {
		l.sonames, err = apt.DecodeSonames(text)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return l, err
}

// owner returns the package that a missing library comes from, and "" if none is known. The driver of a graphics card comes from the machine.
func (l *libraries) owner(soname string) string {
	if l.sonames == nil || elfdeps.Driver(soname) {
		return ""
	}
	owners, ok := l.sonames.Owner(soname)
	if !ok {
		return ""
	}
	if i := slices.IndexFunc(owners, l.locked); i >= 0 { // it is tested with the others
		return owners[i]
	}
	return owners[0]
}

// locked reports whether the lock file has a package.
func (l *libraries) locked(name string) bool {
	return slices.ContainsFunc(l.lock.Packages, func(p apt.Pin) bool { return p.Name == name })
}

// add adds packages, and what they need beyond the runtime, whose packages have the names in have.
func (l *libraries) add(ctx context.Context, names []string, have map[string]pir.PID) error {
	var locked, others []string
	for _, name := range names {
		if l.locked(name) {
			locked = append(locked, name)
		} else {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		pins, err := l.pins(ctx, others)
		if err != nil {
			return err
		}
		for _, p := range pins {
			l.take(p, have)
			for _, name := range p.Depends {
				if l.locked(name) {
					locked = append(locked, name)
				}
			}
		}
	}
	closure, err := l.lock.Closure(locked)
	if err != nil {
		return err
	}
	for _, p := range closure {
		l.take(p, have)
	}
	return nil
}

func (l *libraries) take(p apt.Pin, have map[string]pir.PID) {
	if _, there := have[p.Name]; !there && !slices.ContainsFunc(l.added, func(q apt.Pin) bool { return q.Name == p.Name }) {
		l.added = append(l.added, p)
	}
}

// pins chooses packages that the lock file does not have, from the signed index of its suites.
func (l *libraries) pins(ctx context.Context, names []string) ([]apt.Pin, error) {
	r := l.lock.Request()
	suites, err := l.a.client().DebianSuites(r.Suites)
	if err != nil {
		return nil, err
	}
	return l.a.aptLoader().Pins(ctx, suites, r.Components, l.lock, names, false)
}

// describePin returns the description of a pinned package, as `fetch deb --control` makes it.
func describePin(p apt.Pin, arch string) (nu.Package, error) {
	fetch := &pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.SHA256, p.SHA256[:]), Unpack: pir.UnpackDebRaw}
	canonical, err := fetch.Encode()
	if err != nil {
		return nu.Package{}, err
	}
	origin, err := source.Origin{Kind: source.Deb, Name: p.Name, Version: p.Version, Flags: map[string]string{"arch": arch, "path": p.Path}}.Encode()
	if err != nil {
		return nu.Package{}, err
	}
	return nu.Package{PID: pir.Sum(canonical), Canonical: canonical, Origins: [][]byte{origin}, Name: p.Name, Version: p.Version}, nil
}

// The packages that an application has beyond its runtime are kept in a file: {added: 1, arch, packages: {NAME: {version, sha256, path}}}.
func (a *app) addedFile(app string) string { return a.appFile(".packages", app) }

// appFile returns a file about an application, in a folder that is no application's: their names do not begin with a dot.
func (a *app) appFile(folder, app string) string {
	return filepath.Join(filepath.Dir(a.home.AppHome(app)), folder, app)
}

// readAdded reads the packages that an application has beyond its runtime.
func (a *app) readAdded(app string) ([]apt.Pin, error) {
	name := a.addedFile(app)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pins, err := decodeAdded(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "%s: %w", name, err).WithHint("remove it; --auto finds the packages again")
	}
	return pins, nil
}

func decodeAdded(text []byte) (pins []apt.Pin, err error) {
	rec, err := nuon.DecodeRecord(text)
	if err != nil {
		return nil, err
	}
	list, ok := rec["packages"].(nuon.Record)
	if !ok || rec["added"] != int64(1) || rec["arch"] != debianArch() {
		return nil, fmt.Errorf("want {added: 1, arch: %s, packages: {…}}", debianArch())
	}
	for name, v := range list {
		one, _ := v.(nuon.Record)
		text := func(field string) string { s, _ := one[field].(string); return s }
		p := apt.Pin{Name: name, Version: text("version"), Path: text("path")}
		if p.SHA256, err = apt.ParseDigest(text("sha256")); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pins = append(pins, p)
	}
	slices.SortFunc(pins, func(a, b apt.Pin) int { return strings.Compare(a.Name, b.Name) })
	return pins, nil
}

// writeAdded keeps the packages that an application has beyond its runtime.
func (l *libraries) write(app string) error {
	list := nuon.Record{}
	for _, p := range l.added {
		list[p.Name] = nuon.Record{"version": p.Version, "sha256": p.SHA256.String(), "path": p.Path}
	}
	text, err := nuon.Encode(nuon.Record{"added": int64(1), "arch": debianArch(), "packages": list})
	if err != nil {
		return err
	}
	name := l.a.addedFile(app)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(name, text)
}
