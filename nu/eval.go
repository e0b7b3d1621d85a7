package nu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/MordragT/nuka/nu/statcache"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source/kind"
)

// A Mount puts a tree of package files at a path that evaluation sees.
type Mount struct {
	// Path is absolute and clean, such as "/packages". Mounts do not lie inside each other.
	Path string
	// FS holds the files. Symbolic links are followed inside it, if it implements fs.ReadLinkFS.
	FS fs.FS
	// Host is where the tree is on this machine, for messages: a file x.nu is shown as Host/x.nu.
	// Empty shows the path that evaluation sees.
	Host string
	// Library says that `use toolchain/clang.nu` is looked up here from every file, after the folder of the file.
	Library bool
}

// A Request says what to evaluate.
type Request struct {
	// Sets are the package files that can be read; nothing else can.
	Sets []Mount
	// File is the package file, such as "/packages/lib/zlib.nu".
	File string
	// Args are the flags and arguments of its `main` as typed, such as "--minizip" or "--jobs=3".
	Args []string
	// Platform is what the result is for; it is part of the cache's key. The zero Platform is pir.Any.
	Platform pir.Platform
	// MissingHash is asked for the hash of a fetch without one, so that the error can tell it; nil tells how to get it.
	MissingHash func(ctx context.Context, m *Missing) (pir.Hash, error)
}

// A Missing is a fetch that says no hash.
type Missing struct {
	Origin nuon.Record
	Unpack pir.Unpack
	Strip  int
}

// A Package is one PIR of the closure of what was evaluated.
type Package struct {
	PID pir.PID
	// Canonical is the PIR's canonical bytes.
	Canonical []byte
	Name      string
	Version   string
	// Origins say where a fetch can be had: canonical NUON records such as {kind: npm, name, version}.
	Origins [][]byte `json:",omitempty"`
	// At is the call that described it first. It is not part of the PIR.
	At Position
	// Texts are where the texts of its build closure begin: its own under "", that of a command it calls under " > name".
	// A build names them after the package: "hello" and "hello > c compile".
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

// A PathInput is a file or folder that `fetch path` named, which only this machine has.
type PathInput struct {
	PID pir.PID
	CID cid.CID
	// Virtual is the path that evaluation sees, Host where it is here; Host is empty for a mount without one.
	Virtual string
	Host    string
	// PathOptions are those that it was read with.
	PathOptions
}

// A Read is a file that was read.
type Read struct {
	Path   string
	Digest [32]byte // BLAKE3 of its text
}

// A Result is what an evaluation described.
type Result struct {
	Root    pir.PID
	Name    string
	Version string
	// Packages are all PIRs that the root needs and the root itself, each once; a package comes after what it needs.
	Packages []Package
	Paths    []PathInput
	// Reads are the files that were read, Missing the paths where one was looked for and was not. Both are sorted.
	Reads   []Read
	Missing []string
	// Messages are what `print` wrote.
	Messages []string
	// Cached says that it was not evaluated now.
	Cached bool `json:"-"`
}

// Eval evaluates a package file.
// What is wrong in the files is an *Error.
func (e *Engine) Eval(ctx context.Context, req *Request) (*Result, error) {
	set, err := newFileSet(req.Sets)
	if err != nil {
		return nil, err
	}
	key := e.cacheKey(req)
	if res := e.cached(ctx, key, req, set); res != nil {
		return res, nil
	}
	s := &session{
		req: req, files: set, kinds: e.opts.Kinds, stats: e.stats(), index: map[pir.PID]int{}, fetched: map[pathCall]described{},
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
	e.store(key, res)
	return res, nil
}

// session is one evaluation, seen from the host.
// The embedded Nushell asks one question at a time.
type session struct {
	req      *Request
	files    *fileSet
	kinds    kind.Table
	stats    *statcache.Cache // nil: every file of `fetch path` is read
	packages []Package
	index    map[pir.PID]int
	paths    []PathInput
	fetched  map[pathCall]described // what was answered to each fetch path
	messages []string
	// Where the call is that is being answered, and the texts of its closure.
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
		return s.fetch(ctx, arg.Kind, args, arg.File)
	}
	return nil, refuse("", "%s runs only in a build closure", q.Op)
}

// described is what package files see of a package or source.
type described map[string]string

// add notes a PIR, with where its bytes are if it is a fetch.
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
	top := s.packages[s.index[root]]
	res.Name, res.Version = top.Name, top.Version
	res.Reads, res.Missing = s.files.trace()
	return res, nil
}

// closure returns what root needs, with root. A package can only be described after what it needs, so there are no circles.
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
