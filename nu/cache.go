package nu

import (
	"context"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/digest"
	"github.com/MordragT/nuka/nu/statcache"
	"github.com/MordragT/nuka/pir"
	"github.com/zeebo/blake3"
)

//go:embed *.go gitignore/*.go statcache/*.go
var ownSources embed.FS

// codeVersion identifies the code that evaluates package files and writes entries: other code may compute other results from the same files,
// and entries may have another format. It is computed from the sources, so nobody needs to update it. TestCodeVersion lists the packages that
// an evaluation runs.
var codeVersion = sync.OnceValue(func() string {
	return digest.Sources(ownSources) + " " + pir.SourcesDigest() + " " + ecosystem.SourcesDigest() + " " + EngineDigest()
})

// maxEntry bounds the size of an entry that is read back.
const maxEntry = 256 << 20

// cacheKey returns the key of an evaluation: everything it depends on except the content of files, which an entry lists.
func (e *Engine) cacheKey(req *Request) string {
	type mount struct {
		Path, Host string
		Library    bool
	}
	var sets []mount
	for _, m := range req.Sets {
		sets = append(sets, mount{m.Path, m.Host, m.Library})
	}
	b, err := json.Marshal([]any{codeVersion(), e.opts.Kinds.Version, commandsOf(e.opts.Kinds), req.File, req.Args, req.Platform.String(), sets})
	if err != nil {
		panic(fmt.Sprintf("nu: cache key: %v", err)) // the value has only strings
	}
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// stats returns the cache of folders that `fetch path` names, or nil if the engine has no cache folder.
func (e *Engine) stats() *statcache.Cache {
	if e.opts.CacheDir == "" {
		return nil
	}
	return &statcache.Cache{Dir: filepath.Join(e.opts.CacheDir, "stat")}
}

// entry is a result on disk. Sum is the BLAKE3 hash of Result and detects a damaged file.
type entry struct {
	Sum    string          `json:"sum"`
	Result json.RawMessage `json:"result"`
}

func (e *Engine) entryPath(key string) string {
	return filepath.Join(e.opts.CacheDir, "eval", key[:2], key)
}

// cached returns the result of an earlier evaluation if every file it read is unchanged, or nil.
func (e *Engine) cached(ctx context.Context, key string, set *fileSet, reader *pathReader) *Result {
	if e.opts.CacheDir == "" {
		return nil
	}
	name := e.entryPath(key)
	info, err := os.Stat(name)
	if err != nil || info.Size() > maxEntry {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var en entry
	var res Result
	if err := json.Unmarshal(b, &en); err == nil {
		sum := blake3.Sum256(en.Result)
		if en.Sum != hex.EncodeToString(sum[:]) {
			err = errors.New("damaged")
		} else {
			err = json.Unmarshal(en.Result, &res)
		}
		if err != nil {
			e.log.Warn("evaluation cache: entry is ignored", "path", name, "error", err)
			return nil
		}
	} else {
		e.log.Warn("evaluation cache: entry is ignored", "path", name, "error", err)
		return nil
	}
	if !fresh(ctx, &res, set, reader) {
		return nil
	}
	res.Cached = true
	return &res
}

// fresh reports whether the files that led to res are unchanged.
func fresh(ctx context.Context, res *Result, set *fileSet, reader *pathReader) bool {
	for _, p := range res.Missing {
		m, name, ok := set.mount(p)
		if !ok {
			return false
		}
		name, err := resolve(m, name)
		if err != nil {
			continue
		}
		if info, err := fs.Stat(m.FS, name); err == nil && !info.IsDir() {
			return false
		}
	}
	for _, r := range res.Reads {
		l, err := set.open(r.Path)
		if err != nil || blake3.Sum256([]byte(l.Text)) != r.Digest {
			return false
		}
	}
	for _, in := range res.Paths {
		m, rel, ok := set.mount(in.Virtual)
		if !ok {
			return false
		}
		id, err := reader.cid(ctx, m, rel, in.PathOptions)
		if err != nil || id != in.CID {
			return false
		}
		p, err := pathPIR(m, rel, id)
		if err != nil {
			return false
		}
		if b, err := p.Encode(); err != nil || pir.Sum(b) != in.PID {
			return false
		}
	}
	return true
}

// store writes a result to the cache. A failure is no error for the caller.
func (e *Engine) store(key string, res *Result) {
	if e.opts.CacheDir == "" {
		return
	}
	if err := e.write(key, res); err != nil {
		e.log.Warn("evaluation cache: cannot write", "error", err)
	}
}

func (e *Engine) write(key string, res *Result) error {
	b, err := json.Marshal(res)
	if err != nil {
		return err
	}
	sum := blake3.Sum256(b)
	b, err = json.Marshal(entry{Sum: hex.EncodeToString(sum[:]), Result: b})
	if err != nil {
		return err
	}
	name := e.entryPath(key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(name, b)
}
