package ecosystem

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/pir"
)

// about is what is known of the file that a request asks for.
type about struct {
	must []*File // what each of them promises must hold: those of lock files, of indexes that name the request, of a proof
	some []*File // what one of them promises must hold: those of indexes that name the file only, by any registry
	desc *File   // what the request itself tells; may be nil
	// notice waits for what the registry says against the version, and returns it; nil: it is not asked.
	notice func() string
}

func (rec *Recorder) about(q Request) *about {
	a := &about{desc: rec.o.Adapter.Describe(q)}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	key := q.bare()
	a.must = append(append(a.must, rec.locked[key]...), rec.known[key]...)
	if a.desc != nil {
		name := nameOf(a.desc)
		a.must, a.some = append(a.must, rec.locked[name]...), rec.named[name]
	}
	return a
}

func (a *about) all() []*File {
	all := append(append([]*File{}, a.must...), a.some...)
	if a.desc != nil {
		all = append(all, a.desc)
	}
	return all
}

// dated returns the descriptions that tell when the version was released: each counts, as a lock file may tell less than an index. If there is none, it returns one
// of the version, for which the registry is asked.
func (a *about) dated() []*File {
	var dated, undated []*File
	for _, f := range a.all() {
		switch {
		case f.Version == "":
		case f.Released.IsZero():
			undated = append(undated, f)
		default:
			dated = append(dated, f)
		}
	}
	if len(dated) == 0 && len(undated) > 0 {
		return undated[:1] // they are of one version
	}
	return dated
}

func (f *File) promises() bool { return !f.Promised.IsZero() || f.Weak != "" }

func (a *about) promised() bool {
	for _, f := range a.all() {
		if f.promises() {
			return true
		}
	}
	return false
}

// verified compares a file with all that is promised, and returns the hashes that were compared.
func (a *about) verified(s *sums, content io.ReaderAt) (also []pir.Hash, err error) {
	for _, f := range a.must {
		hashes, err := s.verified(f, content)
		if err != nil {
			return nil, err
		}
		also = append(also, hashes...)
	}
	if len(a.some) == 0 {
		return also, nil
	}
	for _, f := range a.some {
		var hashes []pir.Hash
		if hashes, err = s.verified(f, content); err == nil {
			return append(also, hashes...), nil
		}
	}
	return nil, err
}

// ask asks for a request, and keeps a file. s receives the bytes of a file as they pass; nil discards them.
func (rec *Recorder) ask(ctx context.Context, q Request, ask string, from http.Header, s *stream) (*answer, *failure) {
	known := rec.about(q)
	class := rec.o.Adapter.Classify(q)
	for _, f := range known.dated() {
		if released, young := rec.young(ctx, q, f, from); young {
			text := rec.tooYoung(version2{f.Package, f.Version}, released)
			return nil, failf(http.StatusForbidden, "%s; choose an older version, or except %s from the cooldown", text, f.Package)
		}
	}
	isFile := class == Artefact || known.promised()
	if isFile {
		rec.prove(ctx, q, from, known)
		defer rec.ahead(ctx, q, from, known)()
		if a, fail := rec.stored(ctx, q, known, from); a != nil || fail != nil {
			return a, fail
		}
	}
	if class == Index && !isFile {
		select {
		case rec.reading <- struct{}{}:
		case <-ctx.Done():
			return nil, unreadable(q, ctx.Err())
		}
		defer func() { <-rec.reading }()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, rec.o.Limits.Whole, errStalled)
		defer cancel()
	}
	res, fail := rec.get(ctx, q, ask, from, isFile)
	if fail != nil {
		return nil, fail
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused(q, res)
	}
	a := &answer{Answer: Answer{Request: q, Status: http.StatusOK}}
	switch {
	case isFile:
		fail = rec.file(ctx, from, res, known, a, s)
	case class == Index:
		fail = rec.index(ctx, res, a, from)
	default:
		fail = rec.text(res, a)
	}
	if fail != nil {
		return nil, fail
	}
	return a, nil
}

// refused returns the answer to a request without success. That something is not there is recorded; all else may change, and is not.
func refused(q Request, res *http.Response) (*answer, *failure) {
	switch code := res.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		a := &answer{Answer: Answer{Request: q, Status: code, Type: "text/plain; charset=utf-8", Text: "not found\n"}}
		text, err := whole(res, maxFailure)
		if err == nil && utf8.Valid(text) && len(text) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") { // a page may differ each time
			a.Text = string(text)
		}
		return a, nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f := failf(code, "%s: the registry answers %q: it wants a login", q, res.Status)
		f.say = f.text + ", or refuses the one of your configuration; log in with the package manager itself"
		f.header = pass(res, "Www-Authenticate")
		return nil, f
	case code == http.StatusTooManyRequests || code >= 500:
		f := failf(code, "%s: the registry answers %q; try again later", q, res.Status)
		f.header = pass(res, "Retry-After")
		return nil, f
	case code >= 400:
		return nil, failf(code, "%s: the registry answers %q", q, res.Status)
	}
	return nil, failf(http.StatusBadGateway, "%s: the registry answers %q, which was not asked for", q, res.Status)
}

func pass(res *http.Response, name string) http.Header {
	h := http.Header{}
	if values := res.Header.Values(name); len(values) > 0 {
		h[name] = values
	}
	return h
}

// typeOf returns the Content-Type of an answer, or "" if it is not one that can be recorded.
func typeOf(res *http.Response) string {
	if t := res.Header.Get("Content-Type"); len(t) <= maxType && printable(t) {
		return t
	}
	return ""
}

func (rec *Recorder) text(res *http.Response, a *answer) *failure {
	text, err := whole(res, maxText)
	if err != nil {
		return unreadable(a.Request, err)
	}
	a.Type, a.Text = typeOf(res), string(text)
	return nil
}

// stored returns the answer if the store has the file by a promised hash, or by the address and a weak hash, or a failure if what vouches for it is wrong.
func (rec *Recorder) stored(ctx context.Context, q Request, known *about, from http.Header) (*answer, *failure) {
	for _, f := range known.all() {
		if f.Promised.IsZero() {
			continue
		}
		if hash, size, ok := rec.o.Files.Find(f.Promised); ok && (f.Size == 0 || f.Size == size) && rec.holds(hash, size, known, needsReading(known, f)) {
			return rec.taken(ctx, q, known, from, hash, size, f.Promised)
		}
	}
	if hash, ok := rec.o.Memory.recall(rec.place(q, known)); ok {
		if _, size, ok := rec.o.Files.Find(hash); ok && rec.holds(hash, size, known, true) {
			return rec.taken(ctx, q, known, from, hash, size)
		}
	}
	return nil, nil
}

// holds reports whether the store has a file, and all that is promised about it holds, if it has to be read for that.
func (rec *Recorder) holds(hash pir.Hash, size int64, known *about, read bool) bool {
	content, err := rec.o.Files.Open(hash)
	if err != nil {
		return false
	}
	if read {
		s := newSums(known.all())
		err = compare(known, s, content)
		read = err == nil && s.size == size
	} else {
		read = true
	}
	return content.Close() == nil && read
}

// taken is the answer with a file out of the store.
func (rec *Recorder) taken(ctx context.Context, q Request, known *about, from http.Header, hash pir.Hash, size int64, compared ...pir.Hash) (*answer, *failure) {
	kept := known.kept(hash, size)
	var fail *failure
	if kept.Checked, fail = rec.check(ctx, from, q, known, compared); fail != nil {
		return nil, fail
	}
	return &answer{Answer: Answer{Request: q, Status: http.StatusOK, Kept: kept}, notice: known.notice}, nil
}

// needsReading reports whether anything is promised about a file beside what f promises.
func needsReading(known *about, f *File) bool {
	for _, g := range known.all() {
		if g.promises() && (g.Promised != f.Promised || g.Weak != "") {
			return true
		}
	}
	return false
}

func compare(known *about, s *sums, content io.ReadSeeker) error {
	if _, err := io.Copy(s, content); err != nil {
		return err
	}
	_, err := known.verified(s, &seekAt{content})
	return err
}

// seekAt reads at a place by seeking. One goroutine uses it.
type seekAt struct{ io.ReadSeeker }

func (s *seekAt) ReadAt(p []byte, off int64) (int, error) {
	if _, err := s.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// file receives a file, compares it with what is promised, and keeps it.
func (rec *Recorder) file(ctx context.Context, from http.Header, res *http.Response, known *about, a *answer, s *stream) *failure {
	q, limit := a.Request, rec.o.Limits.File
	if res.ContentLength > limit {
		return unreadable(q, errTooLarge)
	}
	for _, f := range known.must {
		if f.Size > 0 && res.ContentLength > 0 && f.Size != res.ContentLength && res.Header.Get("Content-Encoding") == "" {
			return failf(http.StatusBadGateway, "%s: the file has %d bytes, and %d are promised", q, res.ContentLength, f.Size)
		}
	}
	w, err := rec.o.Files.Create()
	if err != nil {
		return failf(http.StatusInternalServerError, "%s: keep the file: %v", q, err)
	}
	defer w.Close()
	in := bufio.NewReaderSize(&bounded.Reader{R: res.Body, Left: limit, Over: errTooLarge}, holdBack)
	if begin, _ := in.Peek(512); !known.promised() && strings.HasPrefix(http.DetectContentType(begin), "text/html") {
		return failf(http.StatusBadGateway, "%s: the registry answers with a page for people (HTML) instead of a file; is there a login page or a portal in between?", q)
	}
	sum := newSums(known.all())
	out := io.MultiWriter(w, sum)
	if s != nil {
		s.length = res.ContentLength
		out = io.MultiWriter(w, sum, s)
	}
	if _, err := io.CopyBuffer(out, onlyReader{in}, make([]byte, holdBack)); err != nil {
		return unreadable(q, err)
	}
	also, err := known.verified(sum, w)
	if err != nil {
		f := failf(http.StatusBadGateway, "%s: the file is not the one that was promised: %v", q, err)
		f.say = f.text + "; nothing of it was kept. The registry, a mirror or a proxy changed it, or the lock file is of another registry"
		return f
	}
	checked, wrong := rec.check(ctx, from, q, known, also)
	if wrong != nil {
		return wrong
	}
	hash, size, err := w.Commit(also...)
	if err != nil {
		return failf(http.StatusInternalServerError, "%s: keep the file: %v", q, err)
	}
	rec.o.Memory.remember(rec.place(q, known), hash)
	a.Kept, a.notice = known.kept(hash, size), known.notice
	a.Kept.Checked = checked
	return nil
}

// onlyReader hides WriteTo, with which a bufio.Reader would pass on pieces of any size.
type onlyReader struct{ io.Reader }

// prove asks for the hash of a file about which nothing is promised yet.
func (rec *Recorder) prove(ctx context.Context, q Request, from http.Header, known *about) {
	p, ok := rec.o.Adapter.(Prover)
	if !ok || known.promised() {
		return
	}
	question, read, ok := p.Proof(q)
	if !ok || question.Check() != nil || question.String() == q.String() || rec.o.Adapter.Classify(question) == Artefact {
		return
	}
	a := rec.inner(ctx, question, from)
	if a == nil || a.Status != http.StatusOK {
		return
	}
	text, err := a.whole()
	if err != nil {
		return
	}
	if promised, weak := read([]byte(text.Text)); !promised.IsZero() || weak != "" {
		known.must = append(known.must, &File{Request: q, Promised: promised, Weak: weak})
	}
}

// inner asks for a request as a client does, and records the answer. It returns nil if there is none.
func (rec *Recorder) inner(ctx context.Context, q Request, from http.Header) *answer {
	for ctx.Err() == nil {
		a, f, lead := rec.begin(q.String())
		if lead {
			return rec.run(ctx, q, "*/*", from, nil, f)
		}
		if a != nil {
			return a
		}
		select {
		case <-f.done:
			if f.failure != nil {
				return nil
			}
		case <-ctx.Done():
		}
	}
	return nil
}
