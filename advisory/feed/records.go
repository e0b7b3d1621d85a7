package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/advisory/osv"
)

// The bounds of a folder of records.
const (
	maxRecords = 2_000_000
)

// AddFolder adds the records of a folder of OSV: each file *.json is a record, and all else is passed over, but for
// security-support-ended.debN of Debian's package debian-security-support, whose lines are notices. A record that cannot be read is broken, and the others count.
// statements, which may be "", is a file of the folder that has the packagers' statements.
func (b *Builder) AddFolder(ctx context.Context, files fs.FS, statements string) error {
	var names []string
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name != "." && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if _, is := endedRelease(name); e.Type().IsRegular() && (is || path.Ext(name) == ".json" && name != statements) {
			if names = append(names, name); len(names) > maxRecords {
				return fmt.Errorf("the folder has more than %d records", maxRecords)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	records, wrong := make([]*osv.Record, len(names)), make([]error, len(names))
	jobs, ctx := errgroup.WithContext(ctx)
	jobs.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		if _, is := endedRelease(name); is {
			continue
		}
		jobs.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			text, err := readFile(files, name, osv.MaxRecord)
			if err == nil {
				records[i], err = osv.Parse(text)
			}
			wrong[i] = err
			return nil
		})
	}
	if err := jobs.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		if release, is := endedRelease(name); is {
			text, err := readFile(files, name, osv.MaxRecord)
			if err == nil {
				err = b.addEnded(release, text)
			}
			if err != nil {
				return err
			}
			continue
		}
		if wrong[i] != nil {
			b.Break(strings.TrimSuffix(path.Base(name), ".json"), wrong[i].Error())
			continue
		}
		if err := b.Add(records[i]); err != nil {
			return err
		}
	}
	return nil
}

// AddFile adds the records of one file: a record, or a list of records.
func (b *Builder) AddFile(name string, text []byte) error {
	list := []json.RawMessage{text}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '[' {
		list = nil
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for i, one := range list {
		r, err := osv.Parse(one)
		if err != nil {
			b.Break(fmt.Sprintf("%s[%d]", path.Base(name), i), err.Error())
			continue
		}
		if err := b.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// MaxFile bounds the bytes of a file of records.
const MaxFile = 512 << 20
