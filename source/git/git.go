package git

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// A Remote is a repository at an address.
type Remote struct {
	// URL is the repository's address, with https or http.
	URL string
	// Do sends a request. It returns a response with status 200 or an error.
	Do func(*http.Request) (*http.Response, error)
	// MaxRefs and MaxPack bound the bytes of the list of refs and of the pack.
	MaxRefs, MaxPack int64
}

// ErrNotFound is wrapped by errors about revisions that a repository does not have.
var ErrNotFound = errors.New("the repository has no such revision")

// ErrTooLong is wrapped by errors about responses that exceed the limits.
var ErrTooLong = errTooLong

// ErrWrite is wrapped by errors of the writer that receives the pack.
var ErrWrite = errors.New("write the pack")

// ErrProtocol is wrapped by errors about responses that do not follow git's protocol.
var ErrProtocol = errors.New("no git repository answers over smart HTTP")

// A server is what a remote announces about itself.
type server struct {
	base         string // the base of request addresses, after redirects
	version      int
	objectFormat string
	capabilities map[string]string
	refs         []ref // of version 0
}

type ref struct {
	name, id string
	peeled   string // of an annotated tag: the id of the tagged object
}

// Fetch writes the pack of one commit, without history, and returns the commit's id in hexadecimal.
// The revision is a full commit id, a tag, a branch, or a ref such as refs/pull/1/head.
// If the revision is the id of an annotated tag, Fetch writes the pack of the tag and its commit.
func (r *Remote) Fetch(ctx context.Context, revision string, to io.Writer) (id string, err error) {
	s, err := r.discover(ctx)
	if err != nil {
		return "", err
	}
	if isID(revision) {
		id = strings.ToLower(revision)
	} else if id, err = r.find(ctx, s, revision); err != nil {
		return "", err
	}
	if (len(id) == 64) != (s.objectFormat == "sha256") {
		return "", fmt.Errorf("%w: the repository's ids are of %s", ErrNotFound, s.objectFormat)
	}
	return id, r.fetch(ctx, s, id, to)
}

// isID reports whether text is the full id of an object.
func isID(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && (len(text) == 40 || len(text) == 64)
}

// discover requests the server's protocol version and capabilities.
func (r *Remote) discover(ctx context.Context) (*server, error) {
	base := strings.TrimRight(r.URL, "/")
	const suffix = "/info/refs"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+suffix+"?service=git-upload-pack", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Git-Protocol", "version=2")
	resp, err := r.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/x-git-upload-pack-advertisement" {
		return nil, fmt.Errorf("%w: the answer is of type %.100q", ErrProtocol, got)
	}
	s := &server{base: base, objectFormat: "sha1", capabilities: map[string]string{}}
	if resp.Request != nil { // the last one, after redirects
		at := *resp.Request.URL
		at.RawQuery = ""
		if moved, ok := strings.CutSuffix(at.String(), suffix); ok {
			s.base = moved
		}
	}
	return s, s.readAdvertisement(newPktReader(resp.Body, r.MaxRefs))
}

func (s *server) readAdvertisement(in *pktReader) error {
	text, isData, _, err := in.line()
	if err == nil && isData && strings.HasPrefix(text, "# service=") {
		if _, isData, _, err = in.line(); err == nil && isData {
			return fmt.Errorf("%w: the advertisement does not begin as one", ErrProtocol)
		}
		text, isData, _, err = in.line()
	}
	if err != nil {
		return advertisementErr(err)
	}
	if !isData {
		return nil // version 0, and the repository has no refs
	}
	switch text {
	case "version 2":
		s.version = 2
	case "version 1":
		if text, isData, _, err = in.line(); err != nil {
			return advertisementErr(err)
		}
	}
	for isData {
		if s.version == 2 {
			if text != "version 2" {
				key, value, _ := strings.Cut(text, "=")
				s.capabilities[key] = value
			}
		} else {
			s.addRef(text)
		}
		if text, isData, _, err = in.line(); err != nil {
			return advertisementErr(err)
		}
	}
	if format := s.capabilities["object-format"]; format != "" {
		s.objectFormat = format
	}
	return nil
}

func advertisementErr(err error) error {
	var said *ServerError
	if errors.As(err, &said) || errors.Is(err, errTooLong) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrProtocol, err)
}

// addRef reads a line of version 0. In the first line, the capabilities follow a zero byte.
func (s *server) addRef(line string) {
	line, capabilities, first := strings.Cut(line, "\x00")
	if first {
		for c := range strings.FieldsSeq(capabilities) {
			key, value, _ := strings.Cut(c, "=")
			s.capabilities[key] = value
		}
	}
	id, name, _ := strings.Cut(line, " ")
	if !isID(id) {
		return // such as "shallow …"
	}
	if tag, ok := strings.CutSuffix(name, "^{}"); ok {
		if n := len(s.refs); n > 0 && s.refs[n-1].name == tag {
			s.refs[n-1].peeled = id
		}
		return
	}
	s.refs = append(s.refs, ref{name: name, id: id})
}

// candidates lists the refs that a revision may name, in git's order (gitrevisions(7)).
func candidates(revision string) []string {
	if revision == "HEAD" || strings.HasPrefix(revision, "refs/") {
		return []string{revision}
	}
	return []string{"refs/" + revision, "refs/tags/" + revision, "refs/heads/" + revision}
}

// find returns the id of the commit that a revision names.
func (r *Remote) find(ctx context.Context, s *server, revision string) (string, error) {
	if strings.ContainsAny(revision, "\n\x00 ") {
		return "", fmt.Errorf("%w: %q", ErrNotFound, revision)
	}
	refs := s.refs
	if s.version == 2 {
		var err error
		if refs, err = r.listRefs(ctx, s, candidates(revision)); err != nil {
			return "", err
		}
	}
	for _, name := range candidates(revision) {
		if i := slices.IndexFunc(refs, func(r ref) bool { return r.name == name }); i >= 0 {
			if refs[i].peeled != "" {
				return refs[i].peeled, nil
			}
			return refs[i].id, nil
		}
	}
	return "", fmt.Errorf("%w: %q is neither a tag nor a branch, nor the whole id of a commit", ErrNotFound, revision)
}

func (r *Remote) listRefs(ctx context.Context, s *server, names []string) ([]ref, error) {
	body := s.command(nil, "ls-refs")
	body = append(body, "0001"...)
	body = appendPkt(body, "peel\n")
	for _, name := range names {
		body = appendPkt(body, "ref-prefix "+name+"\n")
	}
	answer, err := r.post(ctx, s, append(body, "0000"...))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	in := newPktReader(answer, r.MaxRefs)
	var refs []ref
	for {
		text, isData, _, err := in.line()
		if err != nil {
			return nil, fmt.Errorf("list refs: %w", err)
		}
		if !isData {
			return refs, nil
		}
		fields := strings.Fields(text)
		if len(fields) < 2 || !isID(fields[0]) {
			continue // such as a branch without a commit
		}
		found := ref{id: fields[0], name: fields[1]}
		for _, attribute := range fields[2:] {
			if id, ok := strings.CutPrefix(attribute, "peeled:"); ok && isID(id) {
				found.peeled = id
			}
		}
		if slices.Contains(names, found.name) { // other names begin with one of the requested ones
			refs = append(refs, found)
		}
	}
}

// command begins a request of version 2.
func (s *server) command(b []byte, name string) []byte {
	b = appendPkt(b, "command="+name+"\n")
	if _, ok := s.capabilities["agent"]; ok {
		b = appendPkt(b, "agent=nuka\n")
	}
	if _, ok := s.capabilities["object-format"]; ok {
		b = appendPkt(b, "object-format="+s.objectFormat+"\n")
	}
	return b
}

// fetch writes the pack of one object and the objects that it needs.
func (r *Remote) fetch(ctx context.Context, s *server, id string, to io.Writer) error {
	request := s.wantV0(id)
	if s.version == 2 {
		request = s.command(nil, "fetch")
		request = append(request, "0001"...)
		for _, line := range []string{"no-progress\n", "ofs-delta\n", "deepen 1\n", "want " + id + "\n", "done\n"} {
			request = appendPkt(request, line)
		}
		request = append(request, "0000"...)
	}
	answer, err := r.post(ctx, s, request)
	if err != nil {
		return err
	}
	defer answer.Close()
	in := newPktReader(answer, r.MaxPack)
	if err := s.toPack(in); err != nil {
		return fetchErr(id, err)
	}
	return fetchErr(id, in.copyPack(to))
}

func fetchErr(id string, err error) error {
	var said *ServerError
	var local *writeError
	switch {
	case errors.As(err, &local):
		return fmt.Errorf("%w: %w", ErrWrite, local.err)
	case errors.As(err, &said) && (strings.Contains(said.Text, "not our ref") || strings.Contains(said.Text, "unadvertised object")):
		return fmt.Errorf("%w: commit %s: %v", ErrNotFound, id, said)
	}
	return err
}

// toPack reads the sections before the pack.
func (s *server) toPack(in *pktReader) error {
	for {
		text, isData, kind, err := in.line()
		switch {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case s.version == 2 && text == "packfile", s.version != 2 && text == "NAK":
			return nil
		case s.version == 2 && !isData && kind != delimPkt:
			return errors.New("the answer has no pack")
		}
	}
}

// wantV0 returns the request of version 0.
func (s *server) wantV0(id string) []byte {
	want := "want " + id
	for _, c := range []string{"side-band-64k", "ofs-delta", "no-progress", "shallow"} {
		if _, ok := s.capabilities[c]; ok {
			want += " " + c
		}
	}
	b := appendPkt(nil, want+"\n")
	if _, ok := s.capabilities["shallow"]; ok {
		b = appendPkt(b, "deepen 1\n")
	}
	return appendPkt(append(b, "0000"...), "done\n")
}

// post sends a request to the server's upload-pack.
func (r *Remote) post(ctx context.Context, s *server, body []byte) (io.ReadCloser, error) {
	if s.version != 2 {
		if _, ok := s.capabilities["side-band-64k"]; !ok {
			return nil, fmt.Errorf("%w: it is too old: it sends packs without side bands", ErrProtocol)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/git-upload-pack", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	req.Header.Set("Accept", "application/x-git-upload-pack-result")
	if s.version == 2 {
		req.Header.Set("Git-Protocol", "version=2")
	}
	resp, err := r.Do(req)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != "application/x-git-upload-pack-result" {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the answer is of type %.100q", ErrProtocol, got)
	}
	return resp.Body, nil
}
