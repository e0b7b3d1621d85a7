package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// originOfFeed lists the forms of WHERE.
const originOfFeed = "WHERE is a folder or file of OSV records, which is yours; or a folder or URL (https://…) with a signed feed, which needs --key"

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
		a.watchCommand(), a.feedMake(), a.feedKey())
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
	switch u, err := url.Parse(where); {
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
		for _, name := range names {
			if err := lock.Remove(name); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// listedFeed is the JSON form of a feed.
type listedFeed struct {
	Name     string         `json:"name"`
	From     string         `json:"from"`
	Local    bool           `json:"local,omitempty"`
	Keys     []string       `json:"keys,omitempty"`
	Need     int            `json:"need,omitempty"`
	Number   int64          `json:"number,omitempty"`
	Age      feed.Age       `json:"age"`
	Issued   time.Time      `json:"issued,omitzero"`
	Expires  time.Time      `json:"expires,omitzero"`
	Checked  time.Time      `json:"checked,omitzero"`
	Records  map[string]int `json:"records,omitempty"`
	Broken   []feed.Broken  `json:"broken,omitempty"`
	Evidence []string       `json:"evidence,omitempty"`
	Problem  string         `json:"problem,omitempty"`
}

func (a *app) feedList() *cobra.Command {
	c := &cobra.Command{Use: "feeds", Short: "list the feeds that you follow, with their age", Args: exactArgs()}
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		folder, err := a.advisories()
		if err != nil {
			return err
		}
		list, err := folder.List()
		if err != nil {
			return err
		}
		now, out := time.Now(), []listedFeed{}
		for i := range list {
			f := &list[i]
			l := listedFeed{Name: f.Name, From: f.From, Local: f.Local, Need: f.Need, Number: f.Number, Age: f.Age(now), Issued: f.Issued, Expires: f.Expires, Checked: f.Checked, Evidence: f.Evidence}
			for _, k := range f.Keys {
				l.Keys = append(l.Keys, k.String())
			}
			if tree, err := folder.Tree(f); err != nil {
				l.Problem = protocol.AsError(err).Message
			} else {
				l.Records, l.Broken = tree.Records, tree.Broken
			}
			out = append(out, l)
		}
		if a.json {
			return a.terminal.json(out)
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for i := range out {
			l := &out[i]
			var names []string
			for name, n := range l.Records {
				names = append(names, fmt.Sprintf("%s %d", name, n))
			}
			slices.Sort(names)
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, printable(strings.Join(names, ", ")), printable(l.From))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for i := range list {
			a.say("%s", feedAge(&list[i], now))
			if out[i].Problem != "" {
				a.say("%s", out[i].Problem)
			}
			for _, e := range list[i].Evidence {
				a.say("feed %s: a head contradicts what was seen before: %s", list[i].Name, e)
			}
		}
		return nil
	}
	return c
}

func (a *app) completeFeeds(_ *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
	var o offers
	if folder, err := a.advisories(); err == nil {
		list, _ := folder.List()
		for _, f := range list {
			if !slices.Contains(before, f.Name) {
				o.add(word, f.Name, f.From)
			}
		}
	}
	return o, cobra.ShellCompDirectiveNoFileComp
}
