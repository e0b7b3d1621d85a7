package cargo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/rawjson"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A line is a version of a crate in an index, as far as it is read here (cargo's reference, "Index Format").
type line struct {
	Name, Vers, Cksum string
	Yanked            bool
	Pubtime           string // since cargo 1.92; registries may leave it out
}

func invalid(name, format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "crate registry: its index of %.100q is wrong: %s", name, fmt.Sprintf(format, args...)).
		WithHint("check that the address of the registry is right, and that no portal answers for it")
}

// lineOf reads a line of an index.
func lineOf(text []byte) (l line, err error) {
	err = rawjson.Object(text, func(key string, value []byte) (err error) {
		switch key {
		case "name":
			l.Name, err = rawjson.Text(value)
		case "vers":
			l.Vers, err = rawjson.Text(value)
		case "cksum":
			l.Cksum, err = rawjson.Text(value)
		case "pubtime":
			l.Pubtime, err = rawjson.Text(value)
		case "yanked":
			err = json.Unmarshal(value, &l.Yanked)
		}
		if err != nil {
			err = fmt.Errorf("%s is of the wrong type", key)
		}
		return err
	})
	return l, err
}

// lines calls do with each line of a crate's index, and the file that it names.
func lines(r ecosystem.Request, body []byte, do func(text []byte, f *ecosystem.File)) error {
	name, seen := asked(r), map[string]bool{}
	for text := range bytes.Lines(body) {
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		l, err := lineOf(text)
		if err != nil {
			return invalid(name, "%.60q: %v", text, err)
		}
		switch {
		case strings.ToLower(l.Name) != name || !goodName().MatchString(l.Name):
			return invalid(name, "it names the crate %.100q", l.Name)
		case !isVersion(l.Vers):
			return invalid(name, "%.100q is no version", l.Vers)
		case seen[l.Vers]:
			return invalid(name, "it has version %s twice", l.Vers)
		case !checksum().MatchString(l.Cksum):
			return invalid(name, "version %s: %.100q is no SHA-256", l.Vers, l.Cksum)
		}
		seen[l.Vers] = true
		f := fileOf(r.Alias, l.Name, l.Vers)
		f.Promised, _ = pir.ParseHash("sha256:" + l.Cksum) // it is one, see above
		if at, err := time.Parse(time.RFC3339, l.Pubtime); err == nil {
			f.Released = at.UTC()
		}
		if l.Yanked {
			f.Notice = ecosystem.NoticeOf(ecosystem.Yanked, "")
		}
		do(text, &f)
	}
	return nil
}

// Read implements ecosystem.Adapter. The files have no Request; see Adapter.
func (Adapter) Read(r ecosystem.Request, _, _ string, body []byte, request func(string) ecosystem.Request) (files []ecosystem.File, err error) {
	if asked(r) == "" {
		_, err := parseConfig(body, request)
		return nil, err
	}
	for text := range bytes.Lines(body) {
		if text = bytes.TrimSpace(text); len(text) > 0 && !json.Valid(text) {
			return nil, invalid(asked(r), "%.60q: %v", text, json.Unmarshal(text, new(any)))
		}
	}
	err = lines(r, body, func(_ []byte, f *ecosystem.File) { files = append(files, *f) })
	return files, err
}

// Change implements ecosystem.Adapter. Lines stay as they are: cargo reads all of them.
func (Adapter) Change(r ecosystem.Request, _, _ string, body []byte, request func(string) ecosystem.Request, e *ecosystem.Edit) (out []byte, dropped int, err error) {
	if asked(r) == "" {
		out, err := changeConfig(body, request, e)
		return out, 0, err
	}
	if e.Keep == nil {
		return body, 0, nil
	}
	err = lines(r, body, func(text []byte, f *ecosystem.File) {
		if !e.Keep(f) {
			dropped++
			return
		}
		out = append(append(out, text...), '\n')
	})
	return out, dropped, err
}

// A config is config.json of an index.
type config struct {
	record map[string]json.RawMessage
	dl     string // the address of files, or a template of it
	api    string // "" is none
}

func parseConfig(body []byte, request func(string) ecosystem.Request) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(body, &c.record); err != nil {
		return nil, invalid("config.json", "%v", err)
	}
	for field, to := range map[string]*string{"dl": &c.dl, "api": &c.api} {
		if raw := c.record[field]; raw != nil && json.Unmarshal(raw, to) != nil {
			return nil, invalid("config.json", "%s is no text", field)
		}
	}
	for field, address := range map[string]string{"dl": c.dl, "api": c.api} {
		head, _ := head(address)
		u, err := url.Parse(head)
		if field == "api" && address == "" {
			continue
		}
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(address, "?#") {
			return nil, invalid("config.json", "%s: %.200q is no address", field, address)
		}
		if request(head).Alias == "" {
			return nil, invalid("config.json", "%s: %.200q is no address that may be asked", field, address)
		}
	}
	return c, nil
}

// Places implements ecosystem.Placer.
func (Adapter) Places(r ecosystem.Request, body []byte) map[string]string {
	if path.Base(r.Path) != "config.json" {
		return nil
	}
	var c struct{ DL, API string }
	if json.Unmarshal(body, &c) != nil {
		return nil
	}
	start, _ := head(c.DL)
	return map[string]string{"dl": start, "api": c.API}
}

// head divides a template before the part of the path with the first marker. An address without a marker is all head.
func head(template string) (head, tail string) {
	marker := strings.IndexByte(template, '{')
	if marker < 0 {
		return template, ""
	}
	cut := strings.LastIndexByte(template[:marker], '/')
	if cut < 0 {
		return "", template
	}
	return template[:cut], template[cut:]
}

// changeConfig changes the addresses in config.json. A registry that wants credentials gets them from the proxy, so cargo need not know any.
func changeConfig(body []byte, request func(string) ecosystem.Request, e *ecosystem.Edit) ([]byte, error) {
	c, err := parseConfig(body, request)
	if err != nil {
		return body, err
	}
	if e.Address == nil {
		if c.record["auth-required"] == nil {
			return body, nil
		}
		delete(c.record, "auth-required")
		return encode(c.record)
	}
	start, tail := head(c.dl)
	if tail == "" { // cargo's own default; Address may be for files only, and a client asks for nothing else here
		start = strings.TrimRight(start, "/")
	}
	c.record["dl"] = text(strings.TrimRight(e.Address(start), "/") + tail)
	if c.api != "" {
		c.record["api"] = text(strings.TrimRight(e.Address(strings.TrimRight(c.api, "/")), "/"))
	}
	delete(c.record, "auth-required")
	return encode(c.record)
}

// encode is json.Marshal that leaves <, > and & as they are: people read recordings.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func text(s string) json.RawMessage {
	raw, err := encode(s)
	if err != nil {
		panic(err) // a string
	}
	return raw
}

// Locked implements ecosystem.Locker, for Cargo.lock. It leaves out what is of no registry. The files have no Request; see Adapter.
func (Adapter) Locked(file string, content []byte, _ func(string) ecosystem.Request) ([]ecosystem.File, error) {
	if path.Base(file) != "Cargo.lock" {
		return nil, nil
	}
	var lock struct {
		Package []struct{ Name, Version, Source, Checksum string }
	}
	if _, err := toml.Decode(string(content), &lock); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", file, err)
	}
	var out []ecosystem.File
	for _, p := range lock.Package {
		if !strings.Contains(p.Source, "registry+") && !strings.HasPrefix(p.Source, "sparse+") {
			continue
		}
		if !goodName().MatchString(p.Name) || !isVersion(p.Version) || p.Checksum != "" && !checksum().MatchString(p.Checksum) {
			return nil, protocol.Errorf(protocol.Invalid, "%s: the crate %.100q %.100q has a name, version or checksum that no registry has", file, p.Name, p.Version)
		}
		f := fileOf("", p.Name, p.Version) // its index and its request tell the registry
		if p.Checksum != "" {
			f.Promised, _ = pir.ParseHash("sha256:" + p.Checksum) // it is one, see above
		}
		out = append(out, f)
	}
	return out, nil
}
