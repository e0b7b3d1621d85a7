package inventory

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/url"
	"path"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// addRecording adds the language packages that a recording has files of. Indexes and other answers are no parts.
func addRecording(all *list, r *ecosystem.Recording, notice func(name, version string) string, of []pir.PID) {
	for i := range r.Answers {
		a := &r.Answers[i]
		k := a.Kept
		if k == nil || k.Package == "" {
			continue
		}
		kind := types[r.Ecosystem]
		if kind == "" {
			kind = "generic"
		}
		name := normal(kind, k.Package)
		f := File{Name: fileName(a.Request.Path), Size: k.Size, Content: k.Hash.String(), Checked: k.Checked}
		if promised, err := pir.ParseHash(k.Promised); err == nil {
			f.Hashes = append(f.Hashes, hashText(promised)...)
		}
		if k.Weak != "" {
			f.Hashes = append(f.Hashes, k.Weak)
		}
		f.Origin = originText(k.Origin)
		all.add(Part{Where: Language, Type: kind, Name: name, Version: k.Version, PURL: purl(kind, name, k.Version, nil), License: k.License,
			Released: k.Released, Notice: cmp.Or(k.Notice, notice(k.Package, k.Version)), Files: []File{f}, Of: of})
	}
	for _, s := range r.System {
		all.add(Part{Where: Runtime, Type: "deb", Name: s.Name, Version: s.Version, PURL: purl("deb", s.Name, s.Version, map[string]string{"arch": s.Arch}), Of: of,
			Files: []File{{Name: path.Base(s.Path), Hashes: hashText(s.Hash), Content: s.Hash.String()}}})
	}
}

func fileName(escaped string) string {
	text, err := url.PathUnescape(escaped)
	if err != nil {
		text = escaped
	}
	return path.Base(text)
}

// hashText returns a hash as ALGORITHM:HEX if it is over the bytes of a file. Those of Go's checksum database and of trees are not.
func hashText(h pir.Hash) []string {
	if h.Algorithm != pir.SHA256 && h.Algorithm != pir.SHA512 {
		return nil
	}
	return []string{string(h.Algorithm) + ":" + hex.EncodeToString(h.Digest())}
}

// fromFetch returns the part that a fetch gets. Its origins are canonical NUON; the first one with a name counts. where is its place unless it is a Debian package.
func fromFetch(p *pir.PIR, origins [][]byte, where Where) Part {
	part := Part{Where: where, Type: "generic", Files: []File{{Hashes: hashText(p.Hash), Content: p.Hash.String()}}}
	for _, text := range origins {
		rec, err := nuon.DecodeRecord(text)
		if err != nil {
			continue
		}
		field := func(name string) string {
			s, _ := rec[name].(string)
			return s
		}
		kind := field("kind")
		if part.Files[0].Origin = originText(rec); field("url") != "" { // without the login
			if rec, err = nuon.DecodeRecord([]byte(part.Files[0].Origin)); err != nil {
				continue
			}
		}
		if t := types[kind]; t != "" {
			part.Type = t
		}
		qualifiers := map[string]string{}
		switch kind {
		case "deb":
			if where != Source {
				part.Where = Runtime
			}
			part.Name, part.Version = field("name"), field("version")
			if arch := field("arch"); arch != "" {
				qualifiers["arch"] = arch
			}
		case "debsrc":
			part.Name, part.Version = field("name"), field("version")
			qualifiers["arch"] = "source"
		case "git":
			part.Name, part.Version = fromURL(field("url")), field("rev")
			if field("url") != "" {
				qualifiers["vcs_url"] = "git+" + field("url") + "@" + field("rev")
			}
		case "url":
			part.Name = field("name")
			if part.Name == "" {
				part.Name = fromURL(field("url"))
			}
			if field("url") != "" {
				qualifiers["download_url"] = field("url")
			}
		default:
			part.Name, part.Version = normal(part.Type, field("name")), field("version")
		}
		if f := field("file"); f != "" {
			part.Files[0].Name = f
		}
		part.PURL = purl(part.Type, part.Name, part.Version, qualifiers)
		if part.Name != "" {
			break
		}
	}
	if part.Name == "" { // nobody knows what it is, but its hash names it
		part.Name = p.Hash.String()
	}
	return part
}

// originText returns the canonical text of an origin without the login that its address may have.
func originText(rec nuon.Record) string {
	if rec == nil {
		return ""
	}
	if address, ok := rec["url"].(string); ok {
		u, err := url.Parse(address)
		if err != nil {
			return ""
		}
		u.User = nil
		rec = maps.Clone(rec)
		rec["url"] = u.String()
	}
	text, err := nuon.Encode(rec)
	if err != nil {
		return ""
	}
	return string(text)
}

// fromURL returns a name for what is at an address.
func fromURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return ""
	}
	return strings.TrimSuffix(path.Base(u.Path), ".git")
}
