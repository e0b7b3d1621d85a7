package wasmrt

import (
	"slices"
	"strings"
)

// devices is the backend of /dev, a few files. Every FS without a mount at /dev or / has them.
// Their contents are fixed, random included: a program that wants fresh random numbers calls random_get.
type devices struct{}

var deviceNames = []string{"null", "random", "urandom", "zero"}

func (devices) lstat(rel string) (info, errno) {
	if rel == "." || rel == "fd" {
		return info{kind: kindDir, nlink: 1}, eOK
	}
	if standardStreams[rel] != "" {
		return info{kind: kindSymlink, nlink: 1, size: int64(len(standardStreams[rel]))}, eOK
	}
	if name, ok := strings.CutPrefix(rel, "fd/"); ok {
		if _, ok := descriptorNumber(name); ok {
			return info{kind: kindPipe, nlink: 1}, eOK
		}
	}
	for _, n := range deviceNames {
		if n == rel {
			return info{kind: kindPipe, nlink: 1}, eOK
		}
	}
	return info{}, eNoent
}

func (devices) readlink(rel string) (string, errno) {
	if to := standardStreams[rel]; to != "" {
		return to, eOK
	}
	return "", eInval
}

func (devices) readdir(rel string) ([]dirent, errno) {
	var out []dirent
	switch rel {
	case ".":
		out = append(out, dirent{name: "fd", kind: kindDir})
		for _, n := range deviceNames {
			out = append(out, dirent{name: n})
		}
		for n := range standardStreams {
			out = append(out, dirent{name: n, kind: kindSymlink})
		}
		slices.SortFunc(out, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	case "fd": // those that each program has
		out = []dirent{{name: "0"}, {name: "1"}, {name: "2"}}
	default:
		return nil, eNotdir
	}
	return out, eOK
}

func (devices) open(rel string, _ openFlag) (file, errno) {
	if rel == "." || rel == "fd" {
		return nil, eIsdir
	}
	return &device{name: rel, state: 0x9e3779b97f4a7c15}, eOK
}

func (devices) create(string, openFlag) (file, errno) { return nil, eRofs }
func (devices) mkdir(string) errno                    { return eRofs }
func (devices) rmdir(string) errno                    { return eRofs }
func (devices) unlink(string) errno                   { return eRofs }
func (devices) rename(string, string) errno           { return eRofs }
func (devices) link(string, string) errno             { return eRofs }
func (devices) symlink(string, string) errno          { return eRofs }
func (devices) chtimes(string, int64, int64) errno    { return eRofs }
func (devices) chmod(string, bool) errno              { return eRofs }
func (devices) handle(rel string) *dirRef             { return &dirRef{rel: rel} }
func (devices) release(*dirRef)                       {}
func (devices) at(r *dirRef) (string, bool)           { return r.rel, false }

// device is an open file of /dev. It is not a terminal and discards writes.
type device struct {
	noFile
	position
	name  string
	state uint64
}

func (d *device) stat() (info, errno) {
	return info{kind: kindPipe, nlink: 1, ino: inoOf("/dev/" + d.name)}, eOK
}

func (d *device) read(b []byte) (int, errno) {
	switch d.name {
	case "null":
		return 0, eOK
	case "zero":
		clear(b)
		return len(b), eOK
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range b { // splitmix64; the same stream every time
		d.state += 0x9e3779b97f4a7c15
		z := d.state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b[i] = byte(z >> 56)
	}
	return len(b), eOK
}

func (d *device) pread(b []byte, _ int64) (int, errno)      { return d.read(b) }
func (d *device) write(b []byte, _ bool) (int, errno)       { return len(b), eOK }
func (d *device) pwrite(b []byte, _ int64) (int, errno)     { return len(b), eOK }
func (d *device) seek(off int64, whence int) (int64, errno) { return 0, eOK }
func (d *device) truncate(int64) errno                      { return eOK }
