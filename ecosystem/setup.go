package ecosystem

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	maxSetup  = 200      // variables or files of a setup
	maxValue  = 64 << 10 // bytes of a variable or file
	maxSystem = 5_000    // packages of the distribution

	fieldSystem, fieldBuildSystem = "system", "build_system"
)

var (
	variableName = lazyregexp.New(`^[A-Za-z_@][A-Za-z0-9_@/:.-]{0,99}$`) // npm has names such as npm_config_@scope:registry
	setupFile    = lazyregexp.New(`^([A-Za-z0-9][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	systemName   = lazyregexp.New(`^[a-z0-9][a-z0-9+.-]{1,99}$`)
	systemText   = lazyregexp.New(`^[A-Za-z0-9.:+~_/%-]{1,300}$`)
)

// Join adds another setup to s. What s has already stays.
func (s *Setup) Join(other Setup) {
	s.Env, s.Files = joined(s.Env, other.Env), joined(s.Files, other.Files)
}

func joined(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

func (s Setup) record() nuon.Record {
	rec := nuon.Record{}
	for name, all := range map[string]map[string]string{"env": s.Env, "files": s.Files} {
		if len(all) == 0 {
			continue
		}
		texts := nuon.Record{}
		for k, v := range all {
			texts[k] = v
		}
		rec[name] = texts
	}
	return rec
}

func (s Setup) check() error {
	for _, part := range []struct {
		what  string
		all   map[string]string
		names func() *regexp.Regexp
	}{{"env", s.Env, variableName}, {"files", s.Files, setupFile}} {
		if len(part.all) > maxSetup {
			return fmt.Errorf("setup: %d %s are more than %d", len(part.all), part.what, maxSetup)
		}
		for _, name := range slices.Sorted(maps.Keys(part.all)) {
			if !part.names().MatchString(name) {
				return fmt.Errorf("setup: %s: name %.100q has characters that no client uses", part.what, name)
			}
			if v := part.all[name]; len(v) > maxValue || strings.ContainsRune(v, 0) {
				return fmt.Errorf("setup: %s: %s: want up to %d bytes without NUL", part.what, name, maxValue)
			}
		}
	}
	return nil
}

// texts takes a record of texts.
func (f *fields) texts(name string) map[string]string {
	rec, ok := take[nuon.Record](f, name)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range rec {
		text, ok := v.(string)
		if !ok && f.err == nil {
			f.err = fmt.Errorf("field %q: %.100q is no text", name, k)
		}
		out[k] = text
	}
	return out
}

func (f *fields) setup() (s Setup) {
	rec, ok := take[nuon.Record](f, "setup")
	if !ok {
		return s
	}
	inner := fields{rec: rec}
	s.Env, s.Files = inner.texts("env"), inner.texts("files")
	if err := inner.end(); err != nil && f.err == nil {
		f.err = fmt.Errorf("setup: %w", err)
	}
	return s
}

func systemList(list []SystemPackage) nuon.List {
	out := nuon.List{}
	for _, p := range list {
		out = append(out, nuon.Record{"name": p.Name, "version": p.Version, "arch": p.Arch, "hash": p.Hash.String(), "path": p.Path})
	}
	return out
}

func (f *fields) system(field string) []SystemPackage {
	list, _ := take[nuon.List](f, field)
	var out []SystemPackage
	for _, v := range list {
		rec, _ := v.(nuon.Record)
		p := fields{rec: rec}
		one := SystemPackage{Name: p.text("name"), Version: p.text("version"), Arch: p.text("arch"), Path: p.text("path")}
		hash, err := pir.ParseHash(p.text("hash"))
		one.Hash = hash
		for _, err := range []error{err, p.end()} {
			if err != nil && f.err == nil {
				f.err = fmt.Errorf("%s: %.100q: %w", field, one.Name, err)
			}
		}
		out = append(out, one)
	}
	return out
}

func (r *Recording) checkSystem() error {
	in := map[string]bool{}
	for _, p := range r.System {
		in[p.Name] = true
	}
	for _, p := range r.BuildSystem {
		if in[p.Name] {
			return fmt.Errorf("%s: %.100q: %s has it already", fieldBuildSystem, p.Name, fieldSystem)
		}
	}
	return errors.Join(checkSystem(fieldSystem, r.System), checkSystem(fieldBuildSystem, r.BuildSystem))
}

func checkSystem(field string, list []SystemPackage) error {
	if len(list) > maxSystem {
		return fmt.Errorf("%s: %d packages are more than %d", field, len(list), maxSystem)
	}
	last := ""
	for _, p := range list {
		switch {
		case !systemName().MatchString(p.Name) || p.Name <= last:
			return fmt.Errorf("%s: %.100q: want names of Debian packages, sorted, each once", field, p.Name)
		case !systemText().MatchString(p.Version) || !systemName().MatchString(p.Arch) || p.Hash.Algorithm != pir.SHA256:
			return fmt.Errorf("%s: %s: want a version, an architecture and a hash sha256-…", field, p.Name)
		case !systemText().MatchString(p.Path) || path.IsAbs(p.Path) || path.Clean(p.Path) != p.Path || strings.HasPrefix(p.Path, "../"):
			return fmt.Errorf("%s: %s: path %.100q: want a path in the archive", field, p.Name, p.Path)
		}
		last = p.Name
	}
	return nil
}

// SystemText returns the packages of the distribution as text, for package files: those that are needed, and those that the build needs.
func (r *Recording) SystemText() (system, build string, err error) {
	s, err := nuon.Encode(systemList(r.System))
	if err != nil {
		return "", "", err
	}
	b, err := nuon.Encode(systemList(r.BuildSystem))
	return string(s), string(b), err
}
