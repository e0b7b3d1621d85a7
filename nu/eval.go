package nu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source/kind"
)

// A Mount puts a tree of package files at a path inside the evaluation.
type Mount struct {
	// Path is absolute and clean, such as "/packages". Mounts do not lie inside each other.
	Path string
	// FS holds the files. If it implements fs.ReadLinkFS, symbolic links are followed within it.
	FS fs.FS
	// Host is the path of the tree on this machine, for messages: a file x.nu is shown as Host/x.nu.
	// If it is empty, messages show the path inside the evaluation.
	Host string
	// Library makes `use toolchain/clang.nu` in every file look here, after the folder of the file. Files of a library see only it and the
	// libraries after it.
	Library bool
}

// A Request is the input of an evaluation.
type Request struct {
	// Sets are the package files that the evaluation can read; it can read nothing else.
	Sets []Mount
	// File is the package file, such as "/packages/lib/zlib.nu".
	File string
	// Args are the flags and arguments of its `main` as typed, such as "--minizip" or "--jobs=3".
	Args []string
	// Platform is the platform of the result; it is part of the cache's key. The zero Platform is pir.Any.
	Platform pir.Platform
	// MissingHash returns the hash of a fetch that names none, for the error message. If it is nil, the message says how to get the hash.
	MissingHash func(ctx context.Context, m *Missing) (pir.Hash, error)
	// Record reports whether the `fetch recording` of a path inside the evaluation stands for a recording that is yet to be made (ecosystem.Open); nil: none does.
	// With Record the result is not cached.
	Record func(virtual string) bool
	// Pinned has the packages of the distribution of the recordings that Record opens: its fields System and BuildSystem. nil: there are none.
	Pinned *ecosystem.Recording
}

// A Missing is a fetch without a hash.
type Missing struct {
	Origin nuon.Record
	Unpack pir.Unpack
	Strip  int
}

// A Package is one PIR in the closure of an evaluated package.
type Package struct {
	PID pir.PID
	// Canonical is the PIR's canonical bytes.
	Canonical []byte
	Name      string
	Version   string
	// Origins are the sources of a fetch: canonical NUON records such as {kind: npm, name, version}.
	Origins [][]byte `json:",omitempty"`
	// At is the first call that described it. It is not part of the PIR.
	At Position
	// Texts are the positions where the texts of the build closure begin: its own under "", that of a command it calls under " > name".
	// A build prefixes them with the package's name: "hello" and "hello > c compile".
	Texts map[string]Position `json:",omitempty"`
}

// A Position is a place in a package file.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // from 1
	Col    int    `json:"col"`  // from 1, in characters
	Len    int    `json:"len"`  // in characters
	Source string `json:"source"`
}

// Diag returns a diagnostic about the place.
func (p Position) Diag(msg, hint string) Diag {
	return Diag{File: p.File, Line: p.Line, Col: p.Col, Len: p.Len, Source: p.Source, Msg: msg, Hint: hint}
}

// A PathInput is a file or folder that `fetch path` names. Only this machine has it.
type PathInput struct {
	PID pir.PID
	CID cid.CID
	// Virtual is the path inside the evaluation. Host is the path on this machine; it is empty if the mount has none.
	Virtual string
	Host    string
	// PathOptions are the options it was read with.
	PathOptions
}

// A Read is a file that the evaluation read.
type Read struct {
	Path   string
	Digest [32]byte // BLAKE3 of its text
}

// A Result is the output of an evaluation.
type Result struct {
	Root    pir.PID
	Name    string
	Version string
	// Packages are the PIRs of the root and of all its inputs, each once, inputs first.
	Packages []Package
	Paths    []PathInput
	// Reads are the files that were read, Missing the paths at which no file was found. Both are sorted.
	Reads   []Read
	Missing []string
	// Opened are the recordings that Record opened.
	Opened []PathInput
	// Unpinned are the names of Debian packages that builds with opened recordings ask for, and that Pinned does not have.
	Unpinned []string
	// Messages are the output of `print`.
	Messages []string
	// Cached reports that the result is from the cache.
	Cached bool `json:"-"`
}

// Eval evaluates a package file.
// It returns faults in the files as an *Error.
func (e *Engine) Eval(ctx context.Context, req *Request) (*Result, error) {
	set, err := newFileSet(req.Sets)
	if err != nil {
		return nil, err
	}
	key := e.cacheKey(req)
	reader := newPathReader(e.stats())
	if req.Record == nil {
		if res := e.cached(ctx, key, set, reader); res != nil {
			return res, nil
		}
	}
	s := &session{
		req: req, files: set, kinds: e.opts.Kinds, reader: reader, index: map[pir.PID]int{}, fetched: map[pathCall]described{},
	}
	args := req.Args
	if args == nil {
		args = []string{}
	}
	a, err := e.call(ctx, map[string]any{"op": "eval", "file": req.File, "args": args}, s.host)
	if err != nil {
		var ee *Error
		if errors.As(err, &ee) {
			for i := range ee.Diags {
				ee.Diags[i].File = set.shown(ee.Diags[i].File)
			}
		}
		return nil, err
	}
	res, err := s.result(a)
	if err != nil {
		return nil, err
	}
	if req.Record == nil {
		e.store(key, res)
	}
	return res, nil
}

// session is the host's side of one evaluation.
// The embedded Nushell makes one call at a time.
type session struct {
	req      *Request
	files    *fileSet
	kinds    kind.Table
	reader   *pathReader
	packages []Package
	index    map[pir.PID]int
	paths    []PathInput
	opened   []PathInput
	unpinned []string
	fetched  map[pathCall]described // the answer to each fetch path
	messages []string
	// The position of the current call, and the texts of its closure.
	at    Position
	texts map[string]Position
}

func (s *session) host(ctx context.Context, b []byte) []byte {
	var q hostRequest
	if err := json.Unmarshal(b, &q); err != nil {
		return hostAnswer(nil, err)
	}
	return hostAnswer(s.do(ctx, &q))
}

func (s *session) do(ctx context.Context, q *hostRequest) (any, error) {
	var arg struct {
		From string `json:"from"`
		Name string `json:"name"`
		Text string `json:"text"`
		Kind string `json:"kind"`
		Args string `json:"args"`
		Spec string `json:"spec"`
		File string `json:"file"`
		// Written says where the path of a local fetch is written, if that is known.
		Written writing `json:"written"`

		At    Position `json:"at"`
		Texts []struct {
			Name string   `json:"name"`
			At   Position `json:"at"`
		} `json:"texts"`
	}
	if err := json.Unmarshal(q.Arg, &arg); err != nil {
		return nil, fmt.Errorf("%s: %w", q.Op, err)
	}
	at := arg.At
	at.File = s.files.shown(at.File)
	s.at, s.texts = at, nil
	for _, text := range arg.Texts {
		if s.texts == nil {
			s.texts = map[string]Position{}
		}
		at := text.At
		at.File, at.Source = s.files.shown(at.File), ""
		s.texts[text.Name] = at
	}
	switch q.Op {
	case "load":
		return s.files.load(arg.From, arg.Name)
	case "print":
		if len(s.messages) < 1000 {
			s.messages = append(s.messages, arg.Text)
		}
		return "", nil
	case "derivation":
		spec, err := nuon.DecodeRecord([]byte(arg.Spec))
		if err != nil {
			return nil, fmt.Errorf("derivation: %w", err)
		}
		return s.derivation(spec)
	case "fetch":
		args, err := nuon.DecodeRecord([]byte(arg.Args))
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		return s.fetch(ctx, arg.Kind, args, arg.File, arg.Written)
	}
	return nil, refuse("", "%s runs only in a build closure", q.Op)
}

// described is the value that package files get for a package or source.
type described map[string]string

// add records a PIR, and for a fetch its origin.
func (s *session) add(p *pir.PIR, origin nuon.Record) (pir.PID, error) {
	canonical, err := p.Encode()
	if err != nil {
		return pir.PID{}, err
	}
	pid := pir.Sum(canonical)
	i, known := s.index[pid]
	if !known {
		i = len(s.packages)
		s.index[pid] = i
		s.packages = append(s.packages, Package{PID: pid, Canonical: canonical, Name: p.Name, Version: p.Version, At: s.at, Texts: s.texts})
	}
	if origin == nil {
		return pid, nil
	}
	text, err := nuon.Encode(origin)
	if err != nil {
		return pir.PID{}, err
	}
	pkg := &s.packages[i]
	if !slices.ContainsFunc(pkg.Origins, func(o []byte) bool { return string(o) == string(text) }) {
		pkg.Origins = append(pkg.Origins, text)
	}
	return pid, nil
}

func (s *session) result(a *answer) (*Result, error) {
	if a.Value == nil {
		return nil, fmt.Errorf("evaluate %s: no value", s.req.File)
	}
	rec, err := nuon.DecodeRecord([]byte(*a.Value))
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", s.req.File, err)
	}
	text, _ := rec["pid"].(string)
	root, err := pir.ParsePID(text)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", s.req.File, err)
	}
	needed, err := s.closure(root)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", s.req.File, err)
	}
	res := &Result{Root: root, Messages: s.messages}
	for i, p := range s.packages {
		if needed[p.PID] {
			res.Packages = append(res.Packages, s.packages[i])
		}
	}
	for _, p := range s.paths {
		if needed[p.PID] {
			res.Paths = append(res.Paths, p)
		}
	}
	res.Opened, res.Unpinned = s.opened, s.unpinned
	top := s.packages[s.index[root]]
	res.Name, res.Version = top.Name, top.Version
	res.Reads, res.Missing = s.files.trace()
	return res, nil
}

// closure returns root and all its inputs. There are no cycles, because inputs are described first.
func (s *session) closure(root pir.PID) (map[pir.PID]bool, error) {
	needed := map[pir.PID]bool{}
	todo := []pir.PID{root}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if needed[id] {
			continue
		}
		needed[id] = true
		i, ok := s.index[id]
		if !ok {
			return nil, fmt.Errorf("package %s was not described in this evaluation", id)
		}
		p, err := pir.Decode(s.packages[i].Canonical)
		if err != nil {
			return nil, err
		}
		todo = append(todo, p.Inputs()...)
	}
	return needed, nil
}
