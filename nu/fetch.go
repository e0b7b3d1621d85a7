package nu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/nu/statcache"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

// originFields are the arguments of a fetch that say where to get it, by kind.
var originFields = map[string][]string{
	"url":    {"url"},
	"git":    {"url", "rev", "submodules"},
	"npm":    {"name", "version"},
	"pypi":   {"name", "version", "file"},
	"crate":  {"name", "version"},
	"go":     {"name", "version"},
	"deb":    {"name", "version", "arch"},
	"debsrc": {"name", "version", "file", "patches"},
}

var archiveEndings = []string{
	".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.lzma", ".zip", ".crate", ".whl", ".jar",
}

// fetch makes the PIR of a `fetch …`. Nothing is downloaded.
func (s *session) fetch(ctx context.Context, kind string, args nuon.Record, file string) (string, error) {
	if kind == "path" {
		name, _ := args["path"].(string)
		var o PathOptions
		o.All, _ = args["all"].(bool)
		o.Gitignore, _ = args["gitignore"].(bool)
		return s.fetchPath(ctx, name, file, o)
	}
	origin := nuon.Record{"kind": kind}
	for _, field := range originFields[kind] {
		switch v := args[field].(type) {
		case nil:
		case string:
			origin[field] = v
		case bool: // a flag
			if v {
				origin[field] = "true"
			}
		default:
			return "", &refusal{Msg: fmt.Sprintf("fetch %s: %s is a %s", kind, field, typeName(v)), Field: field, Help: "quote it"}
		}
	}
	if kind == "git" && origin["rev"] == nil {
		return "", refuse("say which commit: --rev v1.2 or a commit's hash", "fetch git %v has no revision", origin["url"])
	}
	p := &pir.PIR{Kind: pir.Fetch}
	var err error
	if p.Unpack, err = unpackOf(kind, args); err != nil {
		return "", err
	}
	if n, ok := args["strip"].(int64); ok {
		if n < 0 || n > 32 {
			return "", &refusal{Msg: fmt.Sprintf("--strip %d is not from 0 to 32", n), Field: "strip"}
		}
		p.Strip = int(n)
	} else if p.Unpack == pir.UnpackArchive {
		p.Strip = defaultStrip(kind, origin)
	}
	text, _ := args["hash"].(string)
	if strings.TrimSpace(text) == "" {
		return "", s.missingHash(ctx, kind, &Missing{Origin: origin, Unpack: p.Unpack, Strip: p.Strip})
	}
	if p.Hash, err = pir.ParseHash(text); err != nil {
		return "", &refusal{Msg: err.Error(), Field: "hash", Help: "leave --hash out once: the error then tells the right one"}
	}
	if name, ok := args["name"].(string); ok && kind == "url" {
		return s.addFetch(p, origin, name)
	}
	return s.addFetch(p, origin, fetchName(origin))
}

// defaultStrip is how many leading folders the archives of a registry have around what they hold.
func defaultStrip(kind string, origin nuon.Record) int {
	name, _ := origin["name"].(string)
	file, _ := origin["file"].(string)
	switch kind {
	case "npm", "crate", "debsrc":
		return 1
	case "pypi": // a wheel has none
		if !strings.HasSuffix(file, ".whl") {
			return 1
		}
	case "go": // <module>@<version>/
		return strings.Count(name, "/") + 1
	}
	return 0
}

func (s *session) addFetch(p *pir.PIR, origin nuon.Record, name string) (string, error) {
	text, err := s.add(p, origin)
	if err != nil {
		return "", asRefusal(err)
	}
	rec, err := nuon.DecodeRecord([]byte(text))
	if err != nil {
		return "", err
	}
	b, err := nuon.Encode(nuon.Record{"pid": rec["pid"], "name": name})
	return string(b), err
}

// fetchName is what a source is called when nobody names it.
func fetchName(origin nuon.Record) string {
	for _, field := range []string{"name", "url"} {
		if text, ok := origin[field].(string); ok {
			return path.Base(text)
		}
	}
	return "source"
}

func unpackOf(kind string, args nuon.Record) (pir.Unpack, error) {
	switch v := args["unpack"].(type) {
	case nil:
	case string:
		switch pir.Unpack(v) {
		case pir.UnpackFile, pir.UnpackArchive, pir.UnpackDeb:
			return pir.Unpack(v), nil
		}
		return "", &refusal{Msg: fmt.Sprintf("--unpack %q: want file or archive", v), Field: "unpack"}
	}
	switch kind {
	case "deb":
		return pir.UnpackDeb, nil
	case "url":
		address, _ := args["url"].(string)
		address, _, _ = strings.Cut(address, "?")
		for _, ending := range archiveEndings {
			if strings.HasSuffix(strings.ToLower(address), ending) {
				return pir.UnpackArchive, nil
			}
		}
		return pir.UnpackFile, nil
	}
	return pir.UnpackArchive, nil
}

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

// fetchPath makes the PIR of a file or folder beside the package file.
func (s *session) fetchPath(ctx context.Context, name, file string, o PathOptions) (string, error) {
	field := func(help, format string, args ...any) error {
		return &refusal{Msg: "fetch path " + name + ": " + fmt.Sprintf(format, args...), Field: "path", Help: help}
	}
	m, _, ok := s.files.mount(file)
	if !ok {
		return "", field("", "%s is no package file", file)
	}
	if path.IsAbs(name) || strings.Contains(name, "\\") {
		return "", field("write it relative to the package file", "absolute paths mean something else on every machine")
	}
	virtual := path.Join(path.Dir(file), name)
	rel, inside := strings.CutPrefix(virtual, m.Path+"/")
	if virtual == m.Path {
		rel, inside = ".", true
	}
	if !inside {
		return "", field("move it below the package file's folder", "leaves the folder %q", s.files.shown(m.Path))
	}
	if _, err := resolve(m, rel); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", field("", "no such file or folder")
		}
		return "", field("", "%v", err)
	}
	id, err := s.readPath(ctx, m, rel, o)
	if err != nil {
		return "", field("", "%v", err)
	}
	p, err := pathPIR(m, rel, id)
	if err != nil {
		return "", field("", "%v", err)
	}
	text, err := s.addFetch(p, nuon.Record{"kind": "path"}, path.Base(virtual))
	if err != nil {
		return "", err
	}
	canonical, err := p.Encode()
	if err != nil {
		return "", err
	}
	in := PathInput{PID: pir.Sum(canonical), CID: id, Virtual: virtual, PathOptions: o}
	if m.Host != "" {
		in.Host = path.Join(m.Host, rel)
	}
	s.paths = append(s.paths, in)
	return text, nil
}

func pathPIR(m Mount, rel string, id cid.CID) (*pir.PIR, error) {
	info, err := fs.Stat(m.FS, rel)
	if err != nil {
		return nil, err
	}
	digest := id.Digest()
	p := &pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.B3, digest[:]), Unpack: pir.UnpackFile}
	if info.IsDir() {
		p.Unpack = pir.UnpackArchive
	}
	return p, nil
}

// readPath returns the CID of what `fetch path` names. Of a folder of the host that it has read before, it reads the files that have changed.
func (s *session) readPath(ctx context.Context, m Mount, rel string, o PathOptions) (cid.CID, error) {
	if s.stats == nil || m.Host == "" {
		return hashPath(ctx, m.FS, rel, o)
	}
	rel, err := resolve(m, rel)
	if err != nil {
		return cid.CID{}, err
	}
	folder, err := filepath.Abs(filepath.Join(m.Host, filepath.FromSlash(rel)))
	if err != nil {
		return cid.CID{}, err
	}
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return hashPath(ctx, m.FS, rel, o)
	}
	sub, err := fs.Sub(m.FS, rel)
	if err != nil {
		return cid.CID{}, err
	}
	return s.stats.Hash(ctx, &statcache.Tree{
		Folder: folder, FS: Sources(sub, o), Variant: fmt.Sprintf("%+v", o), Listed: o.Gitignore, // a pattern may change and no folder
	})
}

// hashPath returns the CID of a file, or of a folder as Sources has it.
func hashPath(ctx context.Context, fsys fs.FS, name string, o PathOptions) (cid.CID, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return cid.CID{}, err
	}
	if info.IsDir() {
		sub, err := fs.Sub(fsys, name)
		if err != nil {
			return cid.CID{}, err
		}
		return cid.HashTree(ctx, Sources(sub, o), nil)
	}
	if err := cid.CheckFile(info); err != nil {
		return cid.CID{}, err
	}
	file, err := fsys.Open(name)
	if err != nil {
		return cid.CID{}, err
	}
	defer file.Close() //nolint:errcheck // only read
	b := cid.NewFile(info.Mode()&0o111 != 0)
	if _, err := io.Copy(b, file); err != nil {
		return cid.CID{}, err
	}
	id, _, _, _ := b.Finish()
	return id, nil
}
