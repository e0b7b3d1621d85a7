package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

const (
	headDays    = 90
	maxHeadDays = 3650
)

// signOptions are the flags of set sign.
type signOptions struct {
	key, name string
	number    int64
	days      int
}

func (a *app) setSign() *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign DIR",
		Short: "sign a package set as its author",
		Long: `Sign writes the signed head of a set, ` + set.HeadFile + `, into its folder: whoever trusts the key accepts this state of the set, until the head expires,
and no earlier state. Sign it again after each change, and before it expires. Files in .git are not part of the set.
The key is your key for sets, which the first use makes; nuka set key prints it.`,
		Example: "  nuka set sign ~/packages\n  nuka set sign . --days 30",
		Args:    exactArgs("DIR"),
	}
	c.Flags().StringVar(&o.key, "key", "", "sign with the key in `FILE` instead of your key for sets")
	c.Flags().StringVar(&o.name, "name", "", "call the set `NAME`; without it, as its last head does, or as the folder is called")
	c.Flags().Int64Var(&o.number, "number", 0, "give the head the number `N` instead of one more than the last")
	c.Flags().IntVar(&o.days, "days", headDays, "let the head expire after `N` days")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		h, err := a.signSet(c, words[0], &o)
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(map[string]any{"name": h.Name, "number": h.Number, "root": h.Root, "expires": h.Expires.UTC(), "signer": h.Signer})
		}
		_, err = fmt.Fprintf(a.out, "%s head %d until %s, signed by %s\n", h.Name, h.Number, h.Expires.UTC().Format(time.DateOnly), h.Signer)
		return err
	}
	return c
}

func (a *app) signSet(c *cobra.Command, dir string, o *signOptions) (*protocol.SetHead, error) {
	if o.days < 1 || o.days > maxHeadDays {
		return nil, usage("set sign: --days %d: want 1 to %d", o.days, maxHeadDays)
	}
	if o.number < 0 {
		return nil, usage("set sign: --number %d: want 1 or more", o.number)
	}
	if o.key != "" {
		if _, err := os.Stat(o.key); err != nil {
			return nil, protocol.Errorf(protocol.NotFound, "key: %w", err).WithHint("without --key, nuka makes a key for you")
		}
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	tree, err := rootOf(at)
	if err != nil {
		return nil, err
	}
	h := &protocol.SetHead{Name: o.name, Number: o.number, Issued: time.Now()}
	h.Expires = h.Issued.Add(time.Duration(o.days) * 24 * time.Hour)
	last, err := set.ReadHead(tree)
	if err != nil && protocol.CodeOf(err) != protocol.NotFound {
		return nil, protocol.Errorf(protocol.Damaged, "%w", err).WithHint("restore the last %s, or remove it and give the next number: --number N", set.HeadFile)
	}
	if last != nil {
		if h.Name == "" {
			h.Name = last.Name
		}
		if h.Number == 0 {
			h.Number = last.Number + 1
		}
		if h.Number <= last.Number {
			return nil, protocol.Errorf(protocol.Invalid, "set sign: the last head has the number %d, and %d would go back", last.Number, h.Number).
				WithHint("leave --number out")
		}
	}
	if h.Name == "" {
		h.Name = filepath.Base(at)
	}
	h.Number = max(1, h.Number)
	if !protocol.IsSetName(h.Name) {
		return nil, protocol.Errorf(protocol.Invalid, "set sign: %.80q cannot be the name of a set: want lower-case letters, digits and . _ -", h.Name).
			WithHint("choose one: --name NAME")
	}
	if h.Root, err = set.Hash(c.Context(), tree); err != nil {
		return nil, err
	}
	path := o.key
	if path == "" {
		path = a.home.SetKey()
	}
	key, err := control.LoadKey(path)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	if err := h.Sign(key); err != nil {
		return nil, err
	}
	if last != nil && last.Signer != h.Signer {
		a.say("the last head was signed by another key, %s: users of the set must trust the new key", last.Signer)
	}
	text, err := set.EncodeHead(h)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(at, set.HeadFile)
	if err := atomicfile.Write(file, text); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, protocol.Errorf(protocol.Denied, "%w", err).WithHint("the folder must be writable")
		}
		return nil, err
	}
	return h, os.Chmod(file, 0o644) //nolint:gosec // others read the set
}

func (a *app) setKey() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "print the key with which you sign package sets", Args: exactArgs(),
		Long: "Key prints your key for sets. Users of your sets pass it to nuka set add --signer. Its private part is in the file keys/set of your home: keep a copy.",
	}
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		private, err := control.LoadKey(a.home.SetKey())
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "%w", err)
		}
		key := protocol.KeyOf(private)
		if a.json {
			return a.terminal.json(map[string]any{"key": key, "file": a.home.SetKey()})
		}
		_, err = fmt.Fprintln(a.out, key)
		return err
	}
	return c
}
