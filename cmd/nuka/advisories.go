package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/protocol"
)

// originOfFeed lists the forms of WHERE.
const originOfFeed = "WHERE is a folder or file of OSV records, which is yours; a ticket of nuka advisories publish, or the key of a publisher in the swarm (key-…/NAME); or a folder or URL (https://…) with a signed feed, which needs --key"

func (a *app) advisoriesCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "advisories",
		Short: "follow feeds of known vulnerabilities",
		Long: `A feed has records of known vulnerabilities, which nuka audit compares with what is installed. Whole feeds are fetched, so nobody learns which packages you have.
A feed of others is signed: its heads have a number that never goes back, and expire within a week. Nothing updates by itself: nuka advisories update, or
nuka advisories watch as a timer.`,
		Example: "  nuka advisories subscribe ~/osv\n  nuka advisories subscribe https://example.org/feed --key key-…\n  nuka advisories update\n  nuka audit",
	})
	c.AddCommand(a.feedSubscribe(), a.feedUnsubscribe(), a.feedList(), a.feedUpdate(), a.recordList(), a.recordShow(), a.ignoreCommand(), a.snoozeCommand(), a.ignoredCommand(),
		a.watchCommand(), a.feedMake(), a.feedPublish(), a.feedKey())
	return c
}

// subscribeOptions are the flags of subscribe.
type subscribeOptions struct {
	name string
	keys []string
	need int
}

func (a *app) feedSubscribe() *cobra.Command {
	var o subscribeOptions
	c := &cobra.Command{
		Use:   "subscribe WHERE",
		Short: "follow a feed",
		Long: "Subscribe reads a feed for the first time. " + originOfFeed + `.
--key may be repeated, and --need says how many of the keys must have signed a head. Subscribing again to a feed of the same name replaces its keys and origin; the
numbers that were seen stay.`,
		Example: "  nuka advisories subscribe ~/osv --name mine\n  nuka advisories subscribe https://example.org/feed --key key-… --key key-… --need 2",
		Args:    exactArgs("WHERE"),
	}
	c.Flags().StringVar(&o.name, "name", "", "call the feed `NAME`; without it, as the last part of WHERE")
	c.Flags().StringArrayVar(&o.keys, "key", nil, "accept heads that `KEY` has signed")
	c.Flags().IntVar(&o.need, "need", 1, "accept a state only if `N` of the keys have signed it")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		f, err := newFeed(words[0], &o)
		if err != nil {
			return err
		}
		lock, list, err := a.lockFeeds(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		if i := slices.IndexFunc(list, func(g feed.Feed) bool { return g.Name == f.Name }); i >= 0 {
			if list[i].Local != f.Local {
				return protocol.Errorf(protocol.Invalid, "there is a feed %s, of another kind", f.Name).WithHint("remove it first: nuka advisories unsubscribe %s; or choose a name: --name", f.Name)
			}
			old := list[i]
			old.From, old.Keys, old.Need = f.From, f.Keys, f.Need
			f = &old
		} else if len(list) >= feed.MaxFeeds {
			return protocol.Errorf(protocol.Exhausted, "you follow %d feeds, and no more are allowed", len(list)).WithHint("remove one: nuka advisories unsubscribe NAME")
		}
		return a.updateFeeds(c.Context(), lock, []feed.Feed{*f})
	}
	return c
}

// newFeed reads the words of a subscription.
func newFeed(where string, o *subscribeOptions) (*feed.Feed, error) {
	f := &feed.Feed{Name: o.name, Need: o.need}
	for _, text := range o.keys {
		k, err := protocol.ParseKey(text)
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%w", err).WithHint("the publisher of the feed prints it: nuka advisories key")
		}
		if !slices.Contains(f.Keys, k) {
			f.Keys = append(f.Keys, k)
		}
	}
	base := ""
	place, err := swarmPlaceOf(where, protocol.PublishedFeed)
	if err != nil {
		return nil, err
	}
	if place != nil {
		f.From, base = where, cmp.Or(place.name, place.keys[0].String()[:12])
		if len(f.Keys) == 0 {
			f.Keys = place.keys // whoever gave you the ticket or the key has said whose signature counts
		}
	}
	switch u, err := url.Parse(where); {
	case place != nil:
	case err == nil && (u.Scheme == "https" || u.Scheme == "http"):
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" {
			return nil, protocol.Errorf(protocol.Invalid, "feed: %.200q: want https://HOST/PATH, without a login", where)
		}
		f.From, base = strings.TrimSuffix(where, "/"), filepath.Base(u.Path)
		if base == "/" || base == "." {
			base = u.Hostname()
		}
	case err == nil && u.Scheme == "file":
		f.From = filepath.FromSlash(u.Path)
	case strings.Contains(where, "://"):
		return nil, protocol.Errorf(protocol.Invalid, "feed: %.200q is no place that a feed can come from", where).WithHint(originOfFeed)
	default:
		f.From = where
	}
	if base == "" {
		at, err := filepath.Abs(f.From)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(at)
		if err != nil {
			return nil, protocol.Errorf(protocol.NotFound, "feed: %w", err).WithHint(originOfFeed)
		}
		_, err = os.Stat(filepath.Join(at, feed.HeadsFile))
		f.From, base, f.Local = at, filepath.Base(at), !info.IsDir() || errors.Is(err, fs.ErrNotExist)
	}
	switch {
	case f.Local && len(f.Keys) > 0:
		return nil, protocol.Errorf(protocol.Invalid, "feed: %s has no signed heads (%s), so --key says nothing about it", f.From, feed.HeadsFile).
			WithHint("leave --key out if the records are yours")
	case !f.Local && len(f.Keys) == 0:
		return nil, protocol.Errorf(protocol.Denied, "feed: %s is signed, and you have not said whose signature counts", f.From).
			WithHint("ask its publisher for the key, and give it: --key key-…")
	case !f.Local && (f.Need < 1 || f.Need > len(f.Keys) || len(f.Keys) > feed.MaxKeys):
		return nil, usage("advisories subscribe: --need %d of %d keys: want 1 to the number of keys, %d at most", f.Need, len(f.Keys), feed.MaxKeys)
	}
	if f.Local {
		f.Need = 0
	}
	if f.Name == "" {
		f.Name = strings.ToLower(strings.TrimSuffix(base, ".json"))
	}
	if !protocol.IsSetName(f.Name) {
		return nil, protocol.Errorf(protocol.Invalid, "feed: %.80q cannot be its name: want lower-case letters, digits and . _ -", f.Name).WithHint("choose one: --name NAME")
	}
	return f, nil
}

// lockFeeds returns the right to change the feeds, and the feeds.
func (a *app) lockFeeds(ctx context.Context) (*feed.Lock, []feed.Feed, error) {
	folder, err := a.advisories()
	if err != nil {
		return nil, nil, err
	}
	if _, err := folder.List(); err != nil { // before anything is written
		return nil, nil, err
	}
	lock, err := folder.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	list, err := lock.List()
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return lock, list, nil
}

func (a *app) feedUpdate() *cobra.Command {
	c := &cobra.Command{
		Use: "update [NAME…]", Short: "get the newest state of feeds",
		Long: "Update gets the newest heads of the named feeds, or of all, and the parts of the feed that changed. It asks for whole feeds, and sends nothing about this machine.",
	}
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network: only feeds in folders are read")
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeFeeds
	c.RunE = func(c *cobra.Command, names []string) error {
		lock, list, err := a.lockFeeds(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		chosen, err := chooseFeeds(list, names)
		if err != nil {
			return err
		}
		return a.updateFeeds(c.Context(), lock, chosen)
	}
	return c
}

func chooseFeeds(list []feed.Feed, names []string) ([]feed.Feed, error) {
	if len(names) == 0 {
		if len(list) == 0 {
			return nil, protocol.Errorf(protocol.NotFound, "you follow no feed").WithHint("subscribe to one: nuka advisories subscribe WHERE")
		}
		return list, nil
	}
	var chosen []feed.Feed
	for _, name := range names {
		i := slices.IndexFunc(list, func(f feed.Feed) bool { return f.Name == name })
		if i < 0 {
			return nil, feed.Unknown(name, list)
		}
		chosen = append(chosen, list[i])
	}
	return chosen, nil
}

func (a *app) feedUnsubscribe() *cobra.Command {
	c := &cobra.Command{
		Use: "unsubscribe NAME…", Short: "stop following feeds",
		Long: "Unsubscribe removes feeds, and with them the numbers that were seen of their keys: only subscribe to them again with a head that you know to be new.",
	}
	c.ValidArgsFunction = a.completeFeeds
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 {
			return protocol.Errorf(protocol.Invalid, "unsubscribe: NAME is missing").WithHint("nuka advisories feeds shows the feeds")
		}
		lock, list, err := a.lockFeeds(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		if _, err := chooseFeeds(list, names); err != nil {
			return err
		}
		before, err := a.followed()
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := lock.Remove(name); err != nil {
				return err
			}
		}
		return a.unfollow(c.Context(), before)
	}
	return c
}
