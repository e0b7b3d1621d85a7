package ecosystem

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// index reads an index, learns what it promises, and edits it.
func (rec *Recorder) index(ctx context.Context, res *http.Response, a *answer, from http.Header) *failure {
	q := a.Request
	text, err := whole(res, rec.o.Limits.Index)
	if err != nil {
		return unreadable(q, err)
	}
	at := *res.Request.URL
	at.User, at.RawQuery, at.Fragment = nil, "", ""
	a.index, a.base, a.Type = true, at.String(), typeOf(res)
	request := rec.requests(&at, false)
	var files []File
	rec.edit(func() { files, err = rec.o.Adapter.Read(q, a.base, a.Type, text, request) })
	if err == nil && rec.o.Cooldown > 0 {
		err = rec.askDates(ctx, a, text, request, files, from)
	}
	if err == nil {
		err = rec.learn(files)
	}
	if err != nil {
		return failf(http.StatusBadGateway, "%s: the registry's answer is no index that can be used: %v", q, err)
	}
	placer, places := rec.o.Adapter.(Placer)
	if places {
		for name, address := range placer.Places(q, text) {
			rec.at.add(q.Alias, name, address)
		}
	}
	e := &Edit{}
	if rec.o.Door == DoorRegistry {
		e.Address = func(address string) string { return rec.at.rewrite(address, false) }
	}
	if rec.o.Cooldown > 0 {
		e.Keep = func(f *File) bool {
			released, young := rec.young(ctx, q, f, from)
			if young {
				rec.mu.Lock()
				rec.leftOut[version2{f.Package, f.Version}] = released
				rec.mu.Unlock()
			}
			return !young
		}
	}
	if e.Address != nil || e.Keep != nil || places { // where files are, such an index may also say that the client needs a login, which only the proxy has
		rec.edit(func() { text, _, err = rec.o.Adapter.Change(q, a.base, a.Type, text, request, e) })
		if err != nil {
			return failf(http.StatusBadGateway, "%s: edit the index: %v", q, err)
		}
	}
	a.Text, a.files = string(text), rec.told(files)
	return nil
}

// told returns the files of an index without those of versions that the cooldown left out.
func (rec *Recorder) told(files []File) []File {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.leftOut) == 0 {
		return files
	}
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		_, out := rec.leftOut[version2{f.Package, f.Version}]
		return out
	})
}

// edit does what needs several times the memory of an index.
func (rec *Recorder) edit(do func()) {
	rec.editing <- struct{}{}
	defer func() { <-rec.editing }()
	do()
}

// requests returns the function by which an adapter maps addresses of an index. What nothing can be asked at is the zero Request.
func (rec *Recorder) requests(base *url.URL, own bool) func(string) Request {
	return func(address string) Request {
		u, err := base.Parse(address)
		if err != nil || base.Scheme == "https" && u.Scheme == "http" && !own {
			return Request{}
		}
		q, err := rec.at.locate(u, own)
		if err != nil {
			return Request{}
		}
		return q
	}
}

// learn notes what an index promises. Two promises of one kind about one request must be the same.
func (rec *Recorder) learn(files []File) error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i := range files {
		f := &files[i]
		if f.Request.Alias == "" {
			rec.named[nameOf(f)] = noted(rec.named[nameOf(f)], f)
			continue
		}
		key := f.Request.bare()
		for _, g := range rec.known[key] {
			if f.Promised.Algorithm == g.Promised.Algorithm && f.Promised != g.Promised {
				return fmt.Errorf("it promises %s for %s, and an index before it promised %s", f.Promised, key, g.Promised)
			}
		}
		rec.known[key] = noted(rec.known[key], f)
	}
	return nil
}

// noted returns a list with a file, unless one that promises the same is there. Requests under way go on reading the old list.
func noted(list []*File, f *File) []*File {
	for i, g := range list {
		if g.Promised == f.Promised && g.Weak == f.Weak && g.Same(f) {
			if g.Released.IsZero() && !f.Released.IsZero() {
				list = slices.Clone(list)
				list[i] = f
			}
			return list
		}
	}
	return append(slices.Clip(list), f)
}

const datesAtOnce = 8

// askDates asks for the dates that an index does not tell, several at once, and sets those of its files.
func (rec *Recorder) askDates(ctx context.Context, a *answer, text []byte, request func(string) Request, files []File, from http.Header) error {
	if _, ok := rec.o.Adapter.(Dater); !ok {
		return nil
	}
	missing := map[string]bool{}
	var err error
	rec.edit(func() {
		_, _, err = rec.o.Adapter.Change(a.Request, a.base, a.Type, text, request, &Edit{Keep: func(f *File) bool {
			if f.Released.IsZero() && (rec.o.Exempt == nil || !rec.o.Exempt(f.Package)) {
				missing[f.Version] = true
			}
			return true
		}})
	})
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(datesAtOnce)
	for v := range missing {
		g.Go(func() error {
			rec.date(ctx, a.Request, v, from)
			return nil
		})
	}
	_ = g.Wait() // dates that are not known are no error
	for i := range files {
		if f := &files[i]; missing[f.Version] && f.Released.IsZero() {
			f.Released = rec.date(ctx, a.Request, f.Version, from)
		}
	}
	return nil
}

// released returns the date that the recording has of a file.
func released(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// date returns when a version was released, by the registry's answer to another question; zero if it does not say.
func (rec *Recorder) date(ctx context.Context, q Request, version string, from http.Header) time.Time {
	d, ok := rec.o.Adapter.(Dater)
	if !ok {
		return time.Time{}
	}
	question, read, ok := d.Date(q, version)
	if !ok || question.Check() != nil {
		return time.Time{}
	}
	key := question.String() + "\n" + version
	rec.mu.Lock()
	at, known := rec.dates[key]
	rec.mu.Unlock()
	if known {
		return at
	}
	_, ask := rec.o.Adapter.Variant(question.Path, "")
	res, fail := rec.get(ctx, question, cmp.Or(ask, "*/*"), from, false)
	if fail != nil {
		return time.Time{}
	}
	defer res.Body.Close()
	if text, err := whole(res, rec.o.Limits.Index); err == nil && res.StatusCode == http.StatusOK {
		at = read(res.Header, text)
	}
	rec.mu.Lock()
	rec.dates[key] = at
	rec.mu.Unlock()
	return at
}
