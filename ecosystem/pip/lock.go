package pip

import (
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/protocol"
)

// uvLock is what Locked reads of uv.lock. uv sync --frozen asks for the files by these addresses, and for no index.
type uvLock struct {
	Package []struct {
		Name, Version string
		Sdist         *lockedFile
		Wheels        []lockedFile
	}
}

type lockedFile struct {
	URL, Hash string
	Size      int64
	Uploaded  time.Time `toml:"upload-time"`
}

// Locked implements ecosystem.Locker, for uv.lock. It leaves out what is of no registry, such as folders and repositories.
func (Adapter) Locked(file string, content []byte, request func(url string) ecosystem.Request) ([]ecosystem.File, error) {
	if path.Base(file) != "uv.lock" {
		return nil, nil
	}
	var lock uvLock
	if _, err := toml.Decode(string(content), &lock); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", file, err)
	}
	var out []ecosystem.File
	for _, p := range lock.Package {
		files := p.Wheels
		if p.Sdist != nil {
			files = append(files, *p.Sdist)
		}
		for i := range files {
			f, ok, err := files[i].file(p.Name, request)
			if err != nil {
				return nil, protocol.Errorf(protocol.Invalid, "%s: %s %s: %v", file, p.Name, p.Version, err)
			}
			if ok {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// file returns the file that an entry names; ok is false if it is on no server.
func (l *lockedFile) file(project string, request func(url string) ecosystem.Request) (f ecosystem.File, ok bool, err error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return f, false, nil
	}
	u.Fragment, u.RawFragment = "", ""
	name := path.Base(u.Path)
	project, version, ok := split(name, normal(project))
	if !ok {
		return f, false, nil // an archive by its address
	}
	f = ecosystem.File{Request: request(u.String()), Package: project, Version: version, Name: name, Size: l.Size, Released: l.Uploaded, Origin: originOf(project, version, name)}
	algorithm, digest, _ := strings.Cut(l.Hash, ":")
	f.Promised, f.Weak, err = promise(map[string]string{algorithm: digest})
	return f, err == nil, err
}
