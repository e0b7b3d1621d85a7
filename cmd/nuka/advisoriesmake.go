package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// makeOptions are the flags of make.
type makeOptions struct {
	key, name string
	number    int64
	hours     int
	revoke    bool
	next      string
}

func (a *app) feedMake() *cobra.Command {
	o := makeOptions{}
	c := &cobra.Command{
		Use:   "make RECORDS FEED",
		Short: "make and sign a feed, as its publisher",
		Long: `Make reads a folder of OSV records (and ` + feed.StatementsFile + `, what you say about packages of your own sets) and writes the folder FEED: the records in shards, and the
signed head. Serve FEED as files, or hand it on. Make it again within a week, even if nothing changed: users count a head that has expired as stale. Shards whose records did not change
keep their bytes, so users do not get them again. With several signers, each runs make on the same records with their own key: the heads are collected in FEED.`,
		Example: "  nuka advisories make ./osv ./feed --name mine\n  nuka advisories make --revoke --next key-… ./osv ./feed",
		Args:    exactArgs("RECORDS", "FEED"),
	}
	c.Flags().StringVar(&o.key, "key", "", "sign with the key in `FILE` instead of your key for feeds")
	c.Flags().StringVar(&o.name, "name", "", "call the feed `NAME`; without it, as its last head does, or as the folder is called")
	c.Flags().Int64Var(&o.number, "number", 0, "give the head the number `N` instead of one more than the last")
	c.Flags().IntVar(&o.hours, "hours", int(protocol.MaxFeedLifetime/time.Hour), "let the head expire after `N` hours, a week at most")
	c.Flags().BoolVar(&o.revoke, "revoke", false, "revoke the key: no head of it counts any more")
	c.Flags().StringVar(&o.next, "next", "", "with --revoke: name `KEY` as the successor")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		h, m, err := a.makeFeed(c.Context(), words[0], words[1], &o)
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(map[string]any{"name": h.Name, "number": h.Number, "root": h.Root, "expires": h.Expires.UTC(), "signer": h.Signer, "records": m.Records, "broken": append([]feed.Broken{}, m.Broken...)})
		}
		for _, b := range m.Broken {
			a.say("%s does not count, or not wholly: %s", b.ID, b.Why)
		}
		_, err = fmt.Fprintf(a.out, "%s head %d until %s, %s, signed by %s\n", h.Name, h.Number, h.Expires.UTC().Format(time.DateTime), counted(m.Total(), "record"), h.Signer)
		return err
	}
	return c
}

func (a *app) makeFeed(ctx context.Context, from, to string, o *makeOptions) (*protocol.FeedHead, *feed.Manifest, error) {
	most := int(protocol.MaxFeedLifetime / time.Hour)
	if o.hours < 1 || o.hours > most || o.number < 0 {
		return nil, nil, usage("advisories make: --hours %d --number %d: want 1 to %d hours, and a number from 1", o.hours, o.number, most)
	}
	key, next, err := a.feedKeys(o)
	if err != nil {
		return nil, nil, err
	}
	at, err := filepath.Abs(to)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, nil, protocol.Errorf(protocol.Denied, "advisories make: %w", err)
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	heads, err := feed.ReadHeads(root.FS())
	if err != nil {
		return nil, nil, protocol.Errorf(protocol.Damaged, "%w", err).WithHint("restore the last %s, or remove it and give the next number: --number N", feed.HeadsFile)
	}
	var b feed.Builder
	if err := a.readRecords(ctx, &b, from); err != nil {
		return nil, nil, err
	}
	m := &feed.Manifest{Name: o.name}
	for _, h := range heads {
		m.Name = h.Name
	}
	if o.name != "" {
		m.Name = o.name
	}
	if m.Name == "" {
		m.Name = filepath.Base(at)
	}
	if !protocol.IsSetName(m.Name) {
		return nil, nil, protocol.Errorf(protocol.Invalid, "advisories make: %.80q cannot be the name of a feed: want lower-case letters, digits and . _ -", m.Name).WithHint("choose one: --name NAME")
	}
	old, _ := feed.OpenTree(root.FS()) // without one, all shards are new
	if err := b.Write(at, m, old); err != nil {
		return nil, nil, protocol.Errorf(protocol.Invalid, "advisories make: %w", err)
	}
	tree, err := feed.HashTree(ctx, root.FS())
	if err != nil {
		return nil, nil, err
	}
	h, err := nextHead(heads, m.Name, tree, o, key)
	if err != nil {
		return nil, nil, err
	}
	h.Revoked, h.Next = o.revoke, next
	if err := h.Sign(key); err != nil {
		return nil, nil, err
	}
	heads = slices.DeleteFunc(heads, func(g *protocol.FeedHead) bool { return g.Signer == h.Signer })
	text, err := feed.EncodeHeads(append(heads, h))
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(at, feed.HeadsFile)
	if err := atomicfile.Write(file, text); err != nil {
		return nil, nil, err
	}
	return h, m, os.Chmod(file, 0o644) //nolint:gosec // others read the feed
}

// feedKeys returns the key to sign with, and the successor of a revoked one.
func (a *app) feedKeys(o *makeOptions) (key ed25519.PrivateKey, next protocol.Key, err error) {
	at := o.key
	if at == "" {
		at = a.home.FeedKey()
	} else if _, err := os.Stat(at); err != nil {
		return nil, next, protocol.Errorf(protocol.NotFound, "key: %w", err).WithHint("without --key, nuka makes a key for you")
	}
	if o.next != "" {
		if !o.revoke {
			return nil, next, usage("advisories make: --next goes with --revoke")
		}
		if next, err = protocol.ParseKey(o.next); err != nil {
			return nil, next, protocol.Errorf(protocol.Invalid, "%w", err)
		}
	}
	if key, err = control.LoadKey(at); err != nil {
		return nil, next, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	return key, next, nil
}

// nextHead returns the unsigned head of a new tree. A signer who signs the tree that others have signed gives it their number.
func nextHead(heads []*protocol.FeedHead, name string, tree cid.CID, o *makeOptions, key ed25519.PrivateKey) (*protocol.FeedHead, error) {
	h := &protocol.FeedHead{Name: name, Number: o.number, Root: tree, Issued: time.Now()}
	h.Expires = h.Issued.Add(time.Duration(o.hours) * time.Hour)
	last, others := int64(0), int64(0)
	for _, g := range heads {
		switch {
		case g.Signer == protocol.KeyOf(key):
			if g.Revoked {
				return nil, protocol.Errorf(protocol.Denied, "advisories make: the key %s was revoked", g.Signer).WithHint("sign with another key: --key FILE")
			}
			last = max(last, g.Number)
		case g.Root == tree:
			others = max(others, g.Number)
		default:
			others = max(others, g.Number+1)
		}
	}
	if h.Number == 0 {
		h.Number = max(1, last+1)
		if others > 0 && others > last {
			h.Number = others
		}
	}
	if h.Number <= last {
		return nil, protocol.Errorf(protocol.Invalid, "advisories make: the last head has the number %d, and %d would go back", last, h.Number).WithHint("leave --number out")
	}
	return h, nil
}

func (a *app) feedKey() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "print the key with which you sign feeds", Args: exactArgs(),
		Long: "Key prints your key for feeds. Users of your feeds pass it to nuka advisories subscribe --key. Its private part is in the file keys/feed of your home: keep a copy.",
	}
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		private, err := control.LoadKey(a.home.FeedKey())
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "%w", err)
		}
		key := protocol.KeyOf(private)
		if a.json {
			return a.terminal.json(map[string]any{"key": key, "file": a.home.FeedKey()})
		}
		_, err = fmt.Fprintln(a.out, key)
		return err
	}
	return c
}
