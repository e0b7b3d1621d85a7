package source

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
)

// An OriginKind says what an Origin's fields mean.
type OriginKind string

// The kinds of origins.
const (
	URL    OriginKind = "url"    // URL
	Git    OriginKind = "git"    // URL, Rev
	NPM    OriginKind = "npm"    // Name, Version
	PyPI   OriginKind = "pypi"   // Name, Version, File
	Crate  OriginKind = "crate"  // Name, Version
	Go     OriginKind = "go"     // Name (the module's path), Version
	Deb    OriginKind = "deb"    // Name, Version, Arch
	DebSrc OriginKind = "debsrc" // Name, Version, File
	Path   OriginKind = "path"   // nowhere: the command hands the tree over
)

// An Origin says where bytes can be had.
type Origin struct {
	Kind    OriginKind
	URL     string
	Rev     string // of git: a full commit hash, a tag or a branch
	Name    string
	Version string
	File    string // glob that picks one of several files; "" picks the source archive
	Arch    string // of deb: the machine as Debian names it
	Patches string // of debsrc: "true" applies Debian's patches to the originals
	// Submodules is of git: "true" takes its submodules too.
	Submodules string
}

// ParseOrigin reads an origin from its canonical NUON.
func ParseOrigin(canonical []byte) (Origin, error) {
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return Origin{}, fmt.Errorf("parse origin: %w", err)
	}
	var o Origin
	fields := map[string]*string{
		"kind": (*string)(&o.Kind), "url": &o.URL, "rev": &o.Rev,
		"name": &o.Name, "version": &o.Version, "file": &o.File, "arch": &o.Arch, "patches": &o.Patches,
		"submodules": &o.Submodules,
	}
	for name, v := range rec {
		field, known := fields[name]
		text, isText := v.(string)
		if !known || !isText {
			return Origin{}, fmt.Errorf("parse origin: field %q is unknown or no string", name)
		}
		*field = text
	}
	return o, o.check()
}

// Encode returns the canonical NUON of o.
func (o Origin) Encode() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	rec := nuon.Record{"kind": string(o.Kind)}
	for name, text := range map[string]string{
		"url": o.URL, "rev": o.Rev, "name": o.Name, "version": o.Version, "file": o.File, "arch": o.Arch, "patches": o.Patches,
		"submodules": o.Submodules,
	} {
		if text != "" {
			rec[name] = text
		}
	}
	return nuon.Encode(rec)
}

func (o Origin) check() error {
	if o.Patches != "" && (o.Patches != "true" || o.Kind != DebSrc) {
		return fmt.Errorf("origin %s: patches %q: want \"true\", for debsrc", o.Kind, o.Patches)
	}
	if o.Submodules != "" && (o.Submodules != "true" || o.Kind != Git) {
		return fmt.Errorf("origin %s: submodules %q: want \"true\", for git", o.Kind, o.Submodules)
	}
	switch o.Kind {
	case URL, Git:
		u, err := url.Parse(o.URL)
		switch {
		case o.Kind == Git && (err != nil || u.Scheme == "ssh" || u.Scheme == "git"):
			return fmt.Errorf("origin git %q: git is spoken over https and http only: write the repository's https address", o.URL)
		case o.Kind == Git && (u.Scheme == "file" || u.Scheme == ""):
			return fmt.Errorf("origin git %q: for a folder of this machine write fetch path", o.URL)
		case err != nil:
			return fmt.Errorf("origin %s: %v", o.Kind, err)
		case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
			return fmt.Errorf("origin %s %q: want an http or https address", o.Kind, o.URL)
		case u.User != nil:
			return fmt.Errorf("origin %s %s: origins are kept and given to others, so no name and no password stands in them: write them in ~/.netrc",
				o.Kind, shown(u))
		}
		if o.Kind == Git && o.Rev == "" {
			return fmt.Errorf("origin git %s: rev is missing", o.URL)
		}
	case NPM, PyPI, Crate, Go, Deb, DebSrc:
		for what, text := range map[string]string{"name": o.Name, "version": o.Version} {
			if text == "" || strings.ContainsAny(text, "\\?#%\x00 ") || strings.Contains(text, "..") {
				return fmt.Errorf("origin %s: %s %q is empty or has characters no registry uses", o.Kind, what, text)
			}
		}
		if strings.Contains(o.Name, "/") && o.Kind != NPM && o.Kind != Go || strings.Contains(o.Version, "/") {
			return fmt.Errorf("origin %s: %q %q has a slash", o.Kind, o.Name, o.Version)
		}
	case Path:
	default:
		return fmt.Errorf("origin: kind %q is unknown", o.Kind)
	}
	return nil
}

// String returns a short text for people.
func (o Origin) String() string {
	switch o.Kind {
	case URL:
		return shownText(o.URL)
	case Git:
		return shownText(o.URL) + " at " + o.Rev
	case Path:
		return "a local path"
	}
	return fmt.Sprintf("%s %s %s", o.Kind, o.Name, o.Version)
}
