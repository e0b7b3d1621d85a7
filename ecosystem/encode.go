package ecosystem

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// MaxRecording bounds the text of a recording, in bytes. A person reviews a recording, a package's folder holds it, and each evaluation reads it whole.
	// The largest of the measured projects (492 answers) needs 2 MB; larger answers belong into the store.
	MaxRecording = 16 << 20
	maxAnswers   = 100_000
	maxType      = 200     // bytes of a Content-Type
	maxName      = 1 << 10 // bytes of the name of a package, its version or its license
	version      = 1       // of the format
)

// The text of a recording is canonical NUON with line feeds at fixed places: one answer on each line, so that a changed answer is a changed line.
// A line feed inside the text of an answer is part of that string.
const firstLine = `{"answers":[`

// lastLine returns what follows the answers: the other fields of the record.
func lastLine(r *Recording) ([]byte, error) {
	rec := nuon.Record{"door": string(r.Door), "ecosystem": r.Ecosystem, "recording": int64(version)}
	if len(r.Upstreams) > 0 {
		rec["upstreams"] = r.Upstreams
	}
	if setup := r.Setup.record(); len(setup) > 0 {
		rec["setup"] = setup
	}
	for name, list := range map[string][]SystemPackage{fieldSystem: r.System, fieldBuildSystem: r.BuildSystem} {
		if len(list) > 0 {
			rec[name] = systemList(list)
		}
	}
	text, err := nuon.Encode(rec)
	if err != nil {
		return nil, err
	}
	return append(append([]byte("],"), text[1:]...), '\n'), nil
}

// Encode returns the text of a recording. Recordings that Decode would refuse are an error.
func (r *Recording) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	b := []byte(firstLine)
	for i := range r.Answers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '\n')
		var err error
		if b, err = nuon.Append(b, r.Answers[i].record()); err != nil {
			return nil, wrong(i, r.Answers[i].Request.String(), err)
		}
	}
	last, err := lastLine(r)
	if err != nil {
		return nil, err
	}
	b = append(append(b, '\n'), last...)
	if len(b) > MaxRecording {
		return nil, fmt.Errorf("%w: %d bytes, and %d are allowed", errRecordingSize, len(b), MaxRecording)
	}
	return b, nil
}

// errRecordingSize says that the text of a recording would be too long.
var errRecordingSize = errors.New("the recording is too large")

// record returns an answer as a record. What is empty is absent.
func (a *Answer) record() nuon.Record {
	rec := nuon.Record{"request": a.Request.String(), "status": int64(a.Status)}
	set(rec, "type", a.Type)
	set(rec, "location", a.Location)
	set(rec, "text", a.Text)
	if k := a.Kept; k != nil {
		file := nuon.Record{"hash": k.Hash.String(), "size": nuon.Filesize(k.Size)}
		set(file, "package", k.Package)
		set(file, "version", k.Version)
		set(file, "license", k.License)
		set(file, "released", k.Released)
		set(file, "promised", k.Promised)
		set(file, "weak", k.Weak)
		set(file, "checked", k.Checked)
		set(file, "notice", k.Notice)
		if k.Origin != nil {
			file["origin"] = k.Origin
		}
		rec["file"] = file
	}
	return rec
}

func set(rec nuon.Record, name, value string) {
	if value != "" {
		rec[name] = value
	}
}

// ErrRecording is wrapped by errors about recordings that nuka did not write.
var ErrRecording = errors.New("this is not a recording as nuka writes it; record it again: nuka lock")

// wrong returns an error that names an answer by its number, from 1, and its request.
func wrong(i int, request string, err error) error {
	return fmt.Errorf("answer %d (%.200s): %w; %w", i+1, request, err, ErrRecording)
}

func (r *Recording) check() error {
	switch {
	case !goodAlias().MatchString(r.Ecosystem):
		return fmt.Errorf("ecosystem %.100q: want up to 40 of a-z, 0-9 and -; %w", r.Ecosystem, ErrRecording)
	case r.Door != DoorRegistry && r.Door != DoorProxy:
		return fmt.Errorf("door %.100q: want %s or %s; %w", string(r.Door), DoorRegistry, DoorProxy, ErrRecording)
	case len(r.Answers) > maxAnswers:
		return fmt.Errorf("%d answers, more than %d; %w", len(r.Answers), maxAnswers, ErrRecording)
	}
	for alias, at := range r.Upstreams {
		host, path, _ := strings.Cut(at, "/")
		if canonical, err := CanonicalPath("/" + path); r.Door != DoorProxy || !goodAlias().MatchString(alias) || !hostAlias().MatchString(host) ||
			err != nil || canonical != "/"+path {
			return fmt.Errorf("upstream %.100q at %.200q: want an alias and XALIAS/PATH, with door %s only; %w", alias, at, DoorProxy, ErrRecording)
		}
	}
	if err := errors.Join(r.Setup.check(), r.checkSystem()); err != nil {
		return fmt.Errorf("%w; %w", err, ErrRecording)
	}
	last := ""
	for i := range r.Answers {
		request := r.Answers[i].Request.String()
		if err := r.Answers[i].check(); err != nil {
			return wrong(i, request, err)
		}
		switch {
		case request == last:
			return wrong(i, request, errors.New("there are two answers to this request"))
		case request < last:
			return wrong(i, request, errors.New("the answers are not sorted by request"))
		}
		last = request
	}
	return nil
}

func (a *Answer) check() error {
	if err := a.Request.Check(); err != nil {
		return err
	}
	redirect := a.Status >= 300 && a.Status < 400
	switch {
	case a.Status < 200 || a.Status > 599 || a.Status == 204 || a.Status == 206 || a.Status == 304:
		return fmt.Errorf("status %d: a recording has final answers only, 200 to 599", a.Status)
	case a.Kept != nil && (a.Status != 200 || a.Text != ""):
		return errors.New("an answer with a file has status 200 and no text")
	case redirect != (a.Location != ""):
		return errors.New("a redirect has a location, and another answer has none")
	case len(a.Type) > maxType || !printable(a.Type):
		return fmt.Errorf("type %.100q: want up to %d printable ASCII characters", a.Type, maxType)
	case len(a.Location) > maxPath || !printable(a.Location) || strings.ContainsAny(a.Location, " \\"):
		return fmt.Errorf("location %.100q: want an address of up to %d printable ASCII characters", a.Location, maxPath)
	case !utf8.ValidString(a.Text):
		return errors.New("its text is not UTF-8")
	case a.Kept != nil:
		return a.Kept.check()
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// weakHash matches a hash by an algorithm that pir does not have.
var weakHash = lazyregexp.New(`^[a-z0-9]{2,16}:([0-9a-f]{2}){4,64}$`)

func (k *Kept) check() error {
	if k.Hash.Algorithm != pir.B3 {
		return fmt.Errorf("file hash %q: want b3-…", k.Hash)
	}
	if k.Size < 0 {
		return fmt.Errorf("size %d is negative", k.Size)
	}
	for _, s := range []string{k.Package, k.Version, k.License, k.Checked} {
		if len(s) > maxName || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%.100q: want up to %d bytes of text on one line", s, maxName)
		}
	}
	if k.Released != "" {
		if t, err := time.Parse(time.DateOnly, k.Released); err != nil || t.Format(time.DateOnly) != k.Released {
			return fmt.Errorf("released %.100q: want a date such as 2026-01-31", k.Released)
		}
	}
	if class, says, ok := SplitNotice(k.Notice); k.Notice != "" && (!ok || NoticeOf(class, says) != k.Notice) {
		return fmt.Errorf("notice %.100q: want %s, %s or %s, and a text on one line", k.Notice, Yanked, Retracted, Deprecated)
	}
	if k.Promised != "" {
		if h, err := pir.ParseHash(k.Promised); err != nil || h.String() != k.Promised {
			return fmt.Errorf("promised %.200q: want a hash such as sha256-…", k.Promised)
		}
	}
	if k.Weak != "" && !weakHash().MatchString(k.Weak) {
		return fmt.Errorf("weak %.200q: want ALGORITHM:HEX", k.Weak)
	}
	if k.Origin != nil {
		if kind, ok := k.Origin["kind"].(string); !ok || kind == "" {
			return errors.New("its origin has no kind")
		}
		text, err := nuon.Encode(k.Origin)
		if err != nil || len(text) > maxPath || bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("its origin is too large, or has more than one line")
		}
	}
	return nil
}

// Files returns the files of a recording, each once, sorted by hash. Callers must not change them.
func (r *Recording) Files() []*Kept {
	var files []*Kept
	seen := map[pir.Hash]bool{}
	for i := range r.Answers {
		if k := r.Answers[i].Kept; k != nil && !seen[k.Hash] {
			seen[k.Hash] = true
			files = append(files, k)
		}
	}
	slices.SortFunc(files, func(a, b *Kept) int { return strings.Compare(a.Hash.String(), b.Hash.String()) })
	return files
}
