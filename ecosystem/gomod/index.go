package gomod

import (
	"bufio"
	"bytes"
	"fmt"
	"net/url"
	"path"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

func invalid(what, format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "module proxy: its answer about %.100q is wrong: %s", what, fmt.Sprintf(format, args...)).
		WithHint("check that the address of the module proxy is right, and that no portal answers for it")
}

// zip returns the zip of a version of the module that q is about.
func (q question) zip(alias, version string) (ecosystem.File, bool) {
	r, ok := q.request(alias, version, "zip")
	return ecosystem.File{
		Request: r, Package: q.module, Version: version, Name: version + ".zip",
		Origin: nuon.Record{"kind": Kind, "name": q.module, "version": version},
	}, ok
}

// Read implements ecosystem.Adapter, for lists of versions, @latest, and lookups in the checksum database. The files of a lookup are a version's
// zip and go.mod, with their hashes.
func (Adapter) Read(r ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request) (files []ecosystem.File, err error) {
	if strings.HasPrefix(r.Path, "/sumdb/") {
		return readLookup(r, body)
	}
	q, ok := parse(r)
	switch {
	case ok && q.what == "list":
		err = q.eachVersion(r.Alias, body, func(_ []byte, f *ecosystem.File) { files = append(files, *f) })
		return files, err
	case ok && q.what == "latest":
		f, err := q.readLatest(r.Alias, body)
		return []ecosystem.File{f}, err
	}
	return nil, invalid(r.Path, "it is no list of versions")
}

// eachVersion calls do with each line of a list, and the zip that it stands for. A version that is there twice counts once.
func (q question) eachVersion(alias string, body []byte, do func(text []byte, f *ecosystem.File)) error {
	seen := map[string]bool{}
	for text := range bytes.Lines(body) {
		fields := strings.Fields(string(text)) // go ignores what follows the version
		if len(fields) == 0 {
			continue
		}
		f, ok := q.zip(alias, fields[0])
		if !ok {
			return invalid(q.module, "%.60q is no version", fields[0])
		}
		if !seen[fields[0]] {
			seen[fields[0]] = true
			do(bytes.TrimSpace(text), &f)
		}
	}
	return nil
}

func (q question) readLatest(alias string, body []byte) (ecosystem.File, error) {
	i, err := parseInfo(body)
	if err != nil {
		return ecosystem.File{}, invalid(q.module, "%v", err)
	}
	f, ok := q.zip(alias, i.Version)
	if !ok {
		return f, invalid(q.module, "%.60q is no version", i.Version)
	}
	f.Released = i.Time.UTC()
	return f, nil
}

// Advise implements ecosystem.Adviser, for the zip of a version. The go.mod file of the newest version says what is retracted; a pre-release counts only if there is nothing
// else, as for the go command.
func (a Adapter) Advise(r ecosystem.Request, answers [][]byte) (question ecosystem.Request, notice string, more bool) {
	q, ok := parse(r)
	if !ok || q.what != "zip" {
		return question, "", false
	}
	list := ecosystem.Request{Alias: r.Alias, Path: r.Path[:strings.LastIndex(r.Path, "/@v/")] + "/@v/list"}
	if len(answers) == 0 {
		return list, "", true
	}
	newest := ""
	err := q.eachVersion(r.Alias, answers[0], func(_ []byte, f *ecosystem.File) {
		stable, was := semver.Prerelease(f.Version) == "", semver.Prerelease(newest) == ""
		if newest == "" || stable && !was || stable == was && semver.Compare(f.Version, newest) > 0 {
			newest = f.Version
		}
	})
	file, ok := q.request(r.Alias, newest, "mod")
	if err != nil || !ok {
		return question, "", false
	}
	if len(answers) == 1 {
		return file, "", true
	}
	if _, about, ok := a.Notices(file, answers[1]); ok {
		notice = about(q.version)
	}
	return question, notice, false
}

// Notices implements ecosystem.Noticer, for the go.mod file of a version: what it retracts, and whether its module is deprecated (go.dev/ref/mod#go-mod-file-retract).
func (Adapter) Notices(r ecosystem.Request, body []byte) (name string, about func(version string) string, ok bool) {
	q, ok := parse(r)
	if !ok || q.what != "mod" {
		return "", nil, false
	}
	f, err := modfile.ParseLax("go.mod", body, nil)
	if err != nil || f.Module == nil || f.Module.Mod.Path != q.module {
		return "", nil, false
	}
	return q.module, func(version string) string {
		for _, v := range f.Retract {
			if semver.Compare(v.Low, version) <= 0 && semver.Compare(version, v.High) <= 0 {
				return ecosystem.NoticeOf(ecosystem.Retracted, v.Rationale)
			}
		}
		if f.Module.Deprecated != "" {
			return ecosystem.NoticeOf(ecosystem.Deprecated, f.Module.Deprecated)
		}
		return ""
	}, true
}

// Change implements ecosystem.Adapter. The answer to @latest names one version, and cannot be left without it: that is an error, NotFound. Answers of
// a checksum database are signed, and stay as they are.
func (Adapter) Change(r ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request, e *ecosystem.Edit) (out []byte, dropped int, err error) {
	if strings.HasPrefix(r.Path, "/sumdb/") {
		_, err := readLookup(r, body)
		return body, 0, err
	}
	q, ok := parse(r)
	switch {
	case ok && q.what == "list":
		err = q.eachVersion(r.Alias, body, func(text []byte, f *ecosystem.File) {
			if e.Keep != nil && !e.Keep(f) {
				dropped++
				return
			}
			out = append(append(out, text...), '\n')
		})
		return out, dropped, err
	case ok && q.what == "latest":
		f, err := q.readLatest(r.Alias, body)
		if err == nil && e.Keep != nil && !e.Keep(&f) {
			return nil, 1, protocol.Errorf(protocol.NotFound, "module proxy: the latest version of %s is %s, which was left out", q.module, f.Version)
		}
		return body, 0, err
	}
	return nil, 0, invalid(r.Path, "it is no list of versions")
}

// readLookup reads the answer to a lookup (go.dev/ref/mod#checksum-database): the number of the record, lines as in go.sum, and a signed tree.
func readLookup(r ecosystem.Request, body []byte) ([]ecosystem.File, error) {
	_, escaped, _ := strings.Cut(r.Path, "/lookup/")
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, invalid(r.Path, "%v", err)
	}
	mod, version, _ := strings.Cut(text, "@")
	if mod, err = module.UnescapePath(mod); err == nil {
		version, err = module.UnescapeVersion(version)
	}
	if err != nil {
		return nil, invalid(text, "%v", err)
	}
	record, _, ok := bytes.Cut(body, []byte("\n\n"))
	_, lines, numbered := bytes.Cut(record, []byte("\n"))
	if !ok || !numbered {
		return nil, invalid(text, "it is no record of a checksum database")
	}
	files, err := sums(r.Alias, lines)
	if err != nil {
		return nil, invalid(text, "%v", err)
	}
	for i := range files {
		f := &files[i]
		f.Vouched = ByClient
		if f.Package != mod || f.Version != version {
			return nil, invalid(text, "it is of %s %s", f.Package, f.Version)
		}
	}
	return files, nil
}

// sums reads lines of go.sum: MODULE VERSION HASH, where VERSION may end with /go.mod.
func sums(alias string, lines []byte) (files []ecosystem.File, err error) {
	scan := bufio.NewScanner(bytes.NewReader(lines))
	for scan.Scan() {
		part := strings.Fields(scan.Text())
		if len(part) == 0 {
			continue
		}
		if len(part) != 3 {
			return nil, fmt.Errorf("%.100q: want a module, a version and a hash", scan.Text())
		}
		version, isMod := strings.CutSuffix(part[1], "/go.mod")
		of := question{module: part[0]}
		f, ok := of.zip(alias, version)
		if !ok {
			return nil, fmt.Errorf("%.100q: no such module or version", scan.Text())
		}
		if isMod {
			f.Request, _ = of.request(alias, version, "mod")
			f.Name, f.Origin = version+".mod", modOrigin(part[0], version)
		}
		if !strings.HasPrefix(part[2], "h1:") {
			continue // go ignores hashes that it does not know
		}
		if f.Promised, err = pir.ParseHash(part[2]); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, scan.Err()
}

// Locked implements ecosystem.Locker, for go.sum and go.work.sum. pir.H1 of a zip is of the files in it, and of a .mod of the one file go.mod.
// The requests have no alias, because go.sum does not say which proxy has a module: the file that Describe returns for a client's request has the same
// Package, Version and Name.
func (Adapter) Locked(file string, content []byte, _ func(url string) ecosystem.Request) ([]ecosystem.File, error) {
	if name := path.Base(file); name != "go.sum" && name != "go.work.sum" {
		return nil, nil
	}
	files, err := sums("", content)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", file, err)
	}
	return files, nil
}
