package nu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source/kind"
)

// A writing says where a text is written, as far as the embedded Nushell knows.
type writing struct {
	File string `json:"file"` // the package file; empty if unknown
	// Literal reports that the file has the text itself there, in quotes or without, and no expression whose value it is.
	Literal bool `json:"literal"`
}

// fetch makes the PIR of a `fetch …` command in a package file. It downloads nothing.
func (s *session) fetch(ctx context.Context, name string, args nuon.Record, file string, written writing) (described, error) {
	k := s.kinds.Find(name)
	if k == nil {
		return nil, refuse("", "fetch: there is no kind of source `%s`", name)
	}
	if k.Local {
		name, ok := args["path"].(string)
		if !ok {
			return nil, &refusal{Msg: fmt.Sprintf("fetch %s: the path is a %s", k.Name, typeName(args["path"])), Field: "path", Help: "write a path, such as ./name"}
		}
		file, err := s.beside(name, file, written)
		if err != nil {
			return nil, err
		}
		if k.Recording {
			return s.fetchRecording(ctx, name, args, file)
		}
		var o PathOptions
		o.All, _ = args["all"].(bool)
		o.Gitignore, _ = args["gitignore"].(bool)
		return s.fetchPath(ctx, name, file, o)
	}
	fields, err := fieldsOf(k, args)
	if err != nil {
		return nil, err
	}
	origin := nuon.Record{"kind": k.Name}
	for field, text := range fields {
		origin[field] = text
	}
	p := &pir.PIR{Kind: pir.Fetch}
	if p.Unpack, err = unpackOf(k, args); err != nil {
		return nil, err
	}
	if n, ok := args["strip"].(int64); ok {
		if n < 0 || n > 32 {
			return nil, &refusal{Msg: fmt.Sprintf("--strip %d is not from 0 to 32", n), Field: "strip"}
		}
		p.Strip = int(n)
	} else if p.Unpack == pir.UnpackArchive && k.Stripped != nil {
		p.Strip = k.Stripped(fields)
	}
	text, _ := args["hash"].(string)
	if strings.TrimSpace(text) == "" {
		return nil, s.missingHash(ctx, k.Name, &Missing{Origin: origin, Unpack: p.Unpack, Strip: p.Strip})
	}
	if p.Hash, err = pir.ParseHash(text); err != nil {
		return nil, &refusal{Msg: err.Error(), Field: "hash", Help: "leave --hash out once: the error then prints the right one"}
	}
	// If the origin has no field "name", the argument is a name for messages.
	if given, ok := args["name"].(string); ok && origin["name"] == nil {
		return s.addFetch(p, origin, given)
	}
	return s.addFetch(p, origin, fetchName(origin))
}

// beside returns the package file that a local path is relative to. A text that begins with ./ or ../ belongs to the file in which it is
// written, so helpers can fetch the paths that their callers give them. Any other text belongs to the file that fetches it.
//
// A helper of another package set cannot make a path of the caller's: such a path must stand in the caller's file as it is, because
// commands such as `path dirname` return other texts with the position of their input.
func (s *session) beside(name, file string, written writing) (string, error) {
	if name != "." && name != ".." && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
		return file, nil
	}
	theirs, _, ok := s.files.mount(written.File)
	if !ok {
		return file, nil
	}
	if ours, _, _ := s.files.mount(file); ours.Path != theirs.Path && !written.Literal {
		return "", &refusal{
			Msg:   fmt.Sprintf("fetch path %s: the path is computed in %s, which is in another package set", name, s.files.shown(written.File)),
			Help:  "write the path itself in place of the expression, such as ./src",
			Field: "path",
		}
	}
	return written.File, nil
}

// fieldsOf returns the fields of the origin that the arguments of a fetch set.
func fieldsOf(k *kind.Kind, args nuon.Record) (kind.Fields, error) {
	fields := kind.Fields{}
	for _, param := range k.Fields() {
		switch v := args[param.Name].(type) {
		case nil:
			if need := param.Needed; need != nil {
				return nil, refuse(need.Hint, "fetch %s %s has no %s", k.Name, fields[k.Args[0].Name], need.What)
			}
		case string:
			fields[param.Name] = v
		case bool: // a switch
			if v {
				fields[param.Name] = "true"
			}
		default:
			return nil, &refusal{Msg: fmt.Sprintf("fetch %s: %s is a %s", k.Name, param.Name, typeName(v)), Field: param.Name, Help: "quote it"}
		}
	}
	return fields, nil
}

func (s *session) addFetch(p *pir.PIR, origin nuon.Record, name string) (described, error) {
	pid, err := s.add(p, origin)
	if err != nil {
		return nil, asRefusal(err)
	}
	return described{"pid": pid.String(), "name": name}, nil
}

// fetchName returns the default name of a source.
func fetchName(origin nuon.Record) string {
	for _, field := range []string{"name", "url"} {
		if text, ok := origin[field].(string); ok {
			return path.Base(text)
		}
	}
	return "source"
}

func unpackOf(k *kind.Kind, args nuon.Record) (pir.Unpack, error) {
	for _, param := range k.Flags {
		if param.Excludes != "" && isGiven(args[param.Name]) && isGiven(args[param.Excludes]) {
			return "", &refusal{Msg: fmt.Sprintf("--%s and --%s exclude each other", param.Name, param.Excludes), Field: param.Excludes, Help: "leave one of them out"}
		}
	}
	if v, ok := args["unpack"].(string); ok {
		if slices.Contains(pir.Unpacks(), pir.Unpack(v)) {
			return pir.Unpack(v), nil
		}
		return "", &refusal{Msg: fmt.Sprintf("--unpack %q: want file or archive", v), Field: "unpack"}
	}
	if k.Unpacked == nil {
		return pir.UnpackArchive, nil
	}
	all := kind.Fields{}
	for _, param := range slices.Concat(k.Args, k.Flags) {
		switch v := args[param.Name].(type) {
		case string:
			all[param.Name] = v
		case bool:
			if v {
				all[param.Name] = "true"
			}
		}
	}
	return k.Unpacked(all), nil
}

// isGiven reports whether an argument of a fetch was given. A switch that is not given is false.
func isGiven(v any) bool { return v != nil && v != false }

func (s *session) missingHash(ctx context.Context, kind string, m *Missing) error {
	what := fmt.Sprintf("fetch %s %s has no hash", kind, fetchName(m.Origin))
	if s.req.MissingHash == nil {
		return refuse("add --hash", "%s", what)
	}
	hash, err := s.req.MissingHash(ctx, m)
	if err != nil {
		return refuse("add --hash; it could not be found out: "+err.Error(), "%s", what)
	}
	return refuse("add --hash "+hash.String(), "%s", what)
}

// A pathCall identifies the arguments of a `fetch path`.
type pathCall struct {
	virtual string
	PathOptions
}

// fetchPath makes the PIR of a file or folder beside the package file. It reads each path once in an evaluation.
func (s *session) fetchPath(ctx context.Context, name, file string, o PathOptions) (described, error) {
	field := func(help, format string, args ...any) error {
		return &refusal{Msg: "fetch path " + name + ": " + fmt.Sprintf(format, args...), Field: "path", Help: help}
	}
	m, _, ok := s.files.mount(file)
	if !ok {
		return nil, field("", "%s is not a package file", file)
	}
	if path.IsAbs(name) || strings.Contains(name, "\\") {
		return nil, field("write it relative to the package file", "absolute paths mean something else on every machine")
	}
	virtual := path.Join(path.Dir(file), name)
	rel, inside := strings.CutPrefix(virtual, m.Path+"/")
	if virtual == m.Path {
		rel, inside = ".", true
	}
	if !inside {
		return nil, field("move it below the package file's folder", "leaves the folder %q", s.files.shown(m.Path))
	}
	seen := pathCall{virtual, o}
	if reply, ok := s.fetched[seen]; ok {
		return reply, nil
	}
	absent := &refusal{Msg: "fetch path " + name + ": no such file or folder", Field: "path", Absent: true}
	if _, err := resolve(m, rel); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, absent
		}
		return nil, field("", "%v", err)
	}
	id, err := s.reader.cid(ctx, m, rel, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent
	}
	if err != nil {
		return nil, field("", "%v", err)
	}
	p, err := pathPIR(m, rel, id)
	if err != nil {
		return nil, field("", "%v", err)
	}
	reply, err := s.addFetch(p, nuon.Record{"kind": "path"}, path.Base(virtual))
	if err != nil {
		return nil, err
	}
	canonical, err := p.Encode()
	if err != nil {
		return nil, err
	}
	in := PathInput{PID: pir.Sum(canonical), CID: id, Virtual: virtual, PathOptions: o}
	if m.Host != "" {
		in.Host = path.Join(m.Host, rel)
	}
	s.paths = append(s.paths, in)
	s.fetched[seen] = reply
	return reply, nil
}

func pathPIR(m Mount, rel string, id cid.CID) (*pir.PIR, error) {
	info, err := fs.Stat(m.FS, rel)
	if err != nil {
		return nil, err
	}
	p := &pir.PIR{Kind: pir.Fetch, Hash: pir.HashOf(id), Unpack: pir.UnpackFile}
	if info.IsDir() {
		p.Unpack = pir.UnpackArchive
	}
	return p, nil
}
