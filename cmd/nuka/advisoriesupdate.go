package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// An updatedFeed is what update --json writes of a feed.
type updatedFeed struct {
	Name    string `json:"name"`
	Number  int64  `json:"number,omitempty"`
	Records int    `json:"records"`
	News    bool   `json:"news"`
	Files   int    `json:"files"`
	Got     int    `json:"got"`
	Bytes   int64  `json:"bytes"`
	Broken  int    `json:"broken,omitempty"`
}

// updateFeeds brings feeds up to date. A feed that fails does not keep the others from it; the first error is returned.
func (a *app) updateFeeds(ctx context.Context, lock *feed.Lock, feeds []feed.Feed) error {
	var wrong error
	out := []updatedFeed{}
	for i := range feeds {
		f := &feeds[i]
		got, err := a.updateFeed(ctx, lock, f)
		var tree *feed.Tree
		if err == nil {
			tree, err = lock.Tree(f)
		}
		if err != nil {
			if wrong == nil {
				wrong = err
			} else {
				a.say("%s", protocol.AsError(err).Message)
			}
			continue
		}
		one := updatedFeed{f.Name, f.Number, tree.Total(), got.News, got.Files, got.Got, got.Bytes, len(tree.Broken)}
		out = append(out, one)
		if a.json {
			continue
		}
		for _, b := range tree.Broken[:min(len(tree.Broken), 5)] {
			a.say("feed %s: %s does not count, or not wholly: %s", f.Name, b.ID, b.Why)
		}
		if len(tree.Broken) > 5 {
			a.say("feed %s: %d such records in all", f.Name, len(tree.Broken))
		}
		switch {
		case !got.News:
			a.say("feed %s is up to date: %s", f.Name, counted(one.Records, "record"))
		case f.Local:
			a.say("feed %s: %s read", f.Name, counted(one.Records, "record"))
		default:
			a.say("feed %s, number %d: %s; got %d of %d files, %s", f.Name, f.Number, counted(one.Records, "record"), got.Got, got.Files, size(got.Bytes))
		}
	}
	if a.json && (wrong == nil || len(out) > 0) {
		if err := a.terminal.json(out); err != nil {
			return err
		}
		if wrong != nil {
			return exitError(a.terminal.fail(wrong, false))
		}
	}
	return wrong
}

func (a *app) updateFeed(ctx context.Context, lock *feed.Lock, f *feed.Feed) (*feed.Updated, error) {
	if f.Local {
		var b feed.Builder
		if err := a.readRecords(ctx, &b, f.From); err != nil {
			return nil, err
		}
		return lock.Read(ctx, f, &b, time.Now())
	}
	place, err := swarmPlaceOf(f.From, protocol.PublishedFeed)
	if err != nil {
		return nil, err
	}
	if place != nil {
		t := &swarmTree{a: a, kind: protocol.PublishedFeed, what: "feed " + f.Name, where: f.From, name: cmp.Or(f.Title, place.name), keys: f.Keys, most: feed.MaxTree}
		defer t.Close()
		got, err := lock.Update(ctx, f, t, time.Now())
		if err != nil && f.Root.IsZero() {
			t.abandon(ctx)
		}
		return got, err
	}
	origin, err := a.feedOrigin(f.From)
	if err != nil {
		return nil, err
	}
	return lock.Update(ctx, f, origin, time.Now())
}

// statementsOf is the file of a folder of records that has the packagers' statements.
const statementsOf = feed.StatementsFile

// readRecords adds the records of a folder or file.
func (a *app) readRecords(ctx context.Context, b *feed.Builder, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return protocol.Errorf(protocol.NotFound, "feed: %w", err).WithHint(originOfFeed)
	}
	if !info.IsDir() {
		if info.Size() > feed.MaxFile {
			return protocol.Errorf(protocol.Exhausted, "feed: %s has more than %d MiB", from, feed.MaxFile>>20)
		}
		text, err := os.ReadFile(from)
		if err == nil {
			err = b.AddFile(from, text)
		}
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "feed: %w", err)
		}
		return nil
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return protocol.Errorf(protocol.Denied, "feed: %w", err)
	}
	defer root.Close()
	if err := b.AddFolder(ctx, root.FS(), statementsOf); err != nil {
		return protocol.Errorf(protocol.Invalid, "feed: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(from, statementsOf))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := feed.ParseStatements(text)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "%s: %w", filepath.Join(from, statementsOf), err).WithHint("docs/advisories.md has the form of statements")
	}
	b.State(list...)
	return nil
}

// feedOrigin returns the origin of a signed feed.
func (a *app) feedOrigin(from string) (feed.Origin, error) {
	if strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://") {
		if a.offline {
			return nil, protocol.Errorf(protocol.Offline, "feed %.100s: the network is needed and may not be used", from).WithHint("run it without --offline; what you have stays in use")
		}
		return &urlOrigin{base: from, fetcher: source.New(&source.Options{Client: a.client()})}, nil
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return nil, protocol.Errorf(protocol.NotFound, "feed: %w", err).WithHint("what you have stays in use; if the feed has moved, subscribe again: nuka advisories subscribe")
	}
	return feed.Dir{Files: root.FS()}, nil
}

// A urlOrigin is the origin of a feed behind a URL. It follows the rules that sources follow: no redirect from https to http, to files or into private networks.
type urlOrigin struct {
	base    string
	fetcher *source.Fetcher
}

// Get implements feed.Origin.
func (o *urlOrigin) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	return o.fetcher.Get(ctx, o.base+"/"+(&url.URL{Path: name}).EscapedPath(), most)
}
