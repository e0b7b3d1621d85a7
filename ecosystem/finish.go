package ecosystem

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// Texts that are longer than one of these go into the store: the first for which the recording is small enough.
var longestText = []int{1 << 20, 64 << 10, 4 << 10, 0}

const maxNamed = 20 // rounds in which versions that indexes name are found

// Recording returns what was recorded. Indexes name the versions only of which clients asked for files, or that lock files name; an index without such a version
// is kept whole, because the client may need it to find that it needs no file. Call it when no request is under way.
func (rec *Recorder) Recording() (*Recording, error) { return rec.recording(false) }

// Whole is Recording with all versions in the indexes, for a client that does not get along with less.
func (rec *Recorder) Whole() (*Recording, error) { return rec.recording(true) }

func (rec *Recorder) recording(whole bool) (*Recording, error) {
	rec.mu.Lock()
	answers := maps.Clone(rec.answers)
	rec.mu.Unlock()
	asked, err := rec.asked(answers)
	if err != nil {
		return nil, err
	}
	out := &Recording{Ecosystem: rec.o.Adapter.Name(), Door: rec.o.Door}
	database, _ := rec.o.Adapter.(Checksummer)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(answers)) {
		if database == nil || !database.Checksums(answers[key].Request) {
			keys = append(keys, key)
		}
	}
	out.Answers = make([]Answer, len(keys))
	var g errgroup.Group
	g.SetLimit(maxEditing)
	for i, key := range keys {
		g.Go(func() (err error) {
			out.Answers[i], err = rec.finished(answers[key], asked, whole)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if rec.o.Door == DoorProxy {
		out.Upstreams = rec.at.hashed()
	}
	for _, longest := range longestText {
		for i := range out.Answers {
			if err := rec.shorten(&out.Answers[i], longest); err != nil {
				return nil, err
			}
		}
		if _, err = out.Encode(); !errors.Is(err, errRecordingSize) {
			break
		}
	}
	return out, err
}

// finished returns an answer as the recording has it.
func (rec *Recorder) finished(from *answer, asked map[version2]bool, whole bool) (Answer, error) {
	a, err := from.whole()
	if err != nil {
		return Answer{}, err
	}
	if from.notice != nil && a.Kept != nil && a.Kept.Notice == "" {
		kept := *a.Kept
		kept.Notice = from.notice()
		a.Kept = &kept
	}
	if from.index {
		if err := rec.prune(from, a, asked, whole); err != nil {
			return Answer{}, fmt.Errorf("%s: shorten the index: %w", from.Request, err)
		}
	}
	if secret := rec.secretIn(a.Text); secret != "" {
		return Answer{}, fmt.Errorf("%s: the answer repeats a %s, so it is not written into a recording", from.Request, secret)
	}
	return *a, nil
}

// asked returns the versions that indexes go on naming.
func (rec *Recorder) asked(answers map[string]*answer) (map[version2]bool, error) {
	asked := maps.Clone(rec.pinned)
	for _, a := range answers {
		if a.Kept != nil && a.Kept.Package != "" {
			asked[version2{a.Kept.Package, a.Kept.Version}] = true
		}
		if f := rec.o.Adapter.Describe(a.Request); f != nil && a.Status == 200 {
			asked[version2{f.Package, f.Version}] = true
		}
	}
	rec.held(answers, asked)
	namer, ok := rec.o.Adapter.(Namer)
	if !ok {
		return asked, nil
	}
	// An index is read again only when versions of its own packages were added.
	packages := map[string]map[string]bool{} // by request
	added := map[string]bool{}               // packages with versions that were added in the last round
	for round := 0; round == 0 || len(added) > 0 && round < maxNamed; round++ {
		now := map[string]bool{}
		for key, a := range answers {
			if !a.index || round > 0 && !overlap(packages[key], added) {
				continue
			}
			whole, err := a.whole()
			if err != nil {
				return nil, err
			}
			packages[key] = map[string]bool{}
			named, err := namer.Named(a.Request, a.base, []byte(whole.Text), rec.ownRequests(a.base), func(f *File) bool {
				packages[key][f.Package] = true
				return asked[version2{f.Package, f.Version}]
			})
			if err != nil {
				rec.problems.add(key, "%s: find the versions that it names: %v", a.Request, err)
			}
			for i := range named {
				if v := (version2{named[i].Package, named[i].Version}); !asked[v] {
					asked[v], now[v.name] = true, true
				}
			}
		}
		added = now
	}
	return asked, nil
}

// held adds the versions that the lock file of the recorded program names: that of the artefact whose lock file names each other version of which a file was asked.
// A client reads the indexes of those, too, though it needs no file of some, such as those for other platforms.
func (rec *Recorder) held(answers map[string]*answer, asked map[version2]bool) {
	holder, ok := rec.o.Adapter.(Holder)
	if !ok {
		return
	}
	kept := map[version2]bool{}
	for _, a := range answers {
		if a.Kept != nil {
			kept[version2{a.Kept.Package, a.Kept.Version}] = true
		}
	}
	for _, a := range answers {
		if a.Kept == nil {
			continue
		}
		f, err := rec.o.Files.Open(a.Kept.Hash)
		if err != nil {
			continue
		}
		list, err := holder.Held(a.Request, f)
		f.Close()
		if err != nil || len(list) == 0 {
			continue
		}
		names := map[version2]bool{{a.Kept.Package, a.Kept.Version}: true}
		for i := range list {
			names[version2{list[i].Package, list[i].Version}] = true
		}
		whole := true
		for v := range kept {
			whole = whole && names[v]
		}
		if whole {
			maps.Copy(asked, names)
		}
	}
}

func overlap(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// ownRequests maps addresses of an index that was edited.
func (rec *Recorder) ownRequests(base string) func(string) Request {
	u, err := url.Parse(base)
	if err != nil {
		return func(string) Request { return Request{} }
	}
	return rec.requests(u, true)
}

// prune shortens the index in an answer for the recording. Of a version of which some files were asked, it names those only.
func (rec *Recorder) prune(from *answer, a *Answer, asked map[version2]bool, whole bool) error {
	request := rec.ownRequests(from.base)
	e := &Edit{Lean: true}
	if rec.o.Door == DoorRegistry && rec.o.Base != Base {
		e.Address = func(address string) string {
			if rest, ok := strings.CutPrefix(address, rec.o.Base+"/"); ok {
				return Base + "/" + rest
			}
			return address
		}
	}
	some, exact := false, map[version2]bool{}
	note := func(f *File) bool {
		if v := (version2{f.Package, f.Version}); asked[v] {
			some = true
			exact[v] = exact[v] || rec.wasAsked(f)
		}
		return true
	}
	switch {
	case whole:
	case len(from.files) > 0:
		for i := range from.files {
			note(&from.files[i])
		}
	default: // versions without files
		if _, _, err := rec.o.Adapter.Change(a.Request, from.base, a.Type, []byte(a.Text), request, &Edit{Keep: note}); err != nil {
			return err
		}
	}
	if some {
		e.Version = func(name, version string) bool { return asked[version2{name, version}] }
		e.Keep = func(f *File) bool {
			v := version2{f.Package, f.Version}
			return asked[v] && (f.Request.Alias == "" || !exact[v] || rec.wasAsked(f))
		}
	}
	text, _, err := rec.o.Adapter.Change(a.Request, from.base, a.Type, []byte(a.Text), request, e)
	a.Text = string(text)
	return err
}

// wasAsked reports whether a client asked for a file, or for its metadata (PEP 658), whose path begins with that of the file.
func (rec *Recorder) wasAsked(f *File) bool {
	if f.Request.Alias == "" {
		return false
	}
	metadata := f.Request
	metadata.Path += ".metadata"
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.answers[f.Request.bare()] != nil || rec.answers[metadata.bare()] != nil
}

// shorten moves a text that is too long, or none, into the store.
func (rec *Recorder) shorten(a *Answer, longest int) error {
	if a.Status != 200 || len(a.Text) <= longest && utf8.ValidString(a.Text) || a.Text == "" {
		return nil
	}
	w, err := rec.o.Files.Create()
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.WriteString(w, a.Text); err != nil {
		return err
	}
	hash, size, err := w.Commit()
	if err != nil {
		return err
	}
	a.Text, a.Kept = "", &Kept{Hash: hash, Size: size}
	return nil
}

// secretIn returns what sort of secret a text repeats, or "".
func (rec *Recorder) secretIn(text string) string {
	var values []string
	for _, up := range rec.at.registries() {
		for _, v := range up.Header {
			values = append(values, v...)
		}
	}
	rec.mu.Lock()
	values = append(values, slices.Collect(maps.Keys(rec.logins))...)
	rec.mu.Unlock()
	for _, v := range values {
		scheme, secret, ok := strings.Cut(v, " ")
		if !ok {
			secret = scheme
		}
		secrets := []string{secret}
		if plain, err := base64.StdEncoding.DecodeString(secret); err == nil && strings.EqualFold(scheme, "basic") {
			_, password, _ := strings.Cut(string(plain), ":")
			secrets = append(secrets, string(plain), password, url.QueryEscape(password), url.PathEscape(password))
		}
		for _, s := range secrets {
			if len(s) >= 6 && strings.Contains(text, s) {
				return "password or token of your configuration"
			}
		}
	}
	return ""
}
