package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

func (a *app) setCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "set",
		Short: "add, update and sign package sets",
		Long: `A package set is a tree of package files. The sets that you add come before the one in nuka: a package name means the package of the
first set that has it, and NAME/lua or NAME/app/lua that of the set NAME; the set in nuka is called nuka. No set updates by itself.
A set from another machine has a signer: its updates must have a signed head of that signer that does not go back.`,
		Example: "  nuka set add mine ~/packages\n  nuka set add theirs git+https://example.org/packages.git --signer key-…\n  nuka set update --dry-run",
	})
	c.AddCommand(a.setAdd(), a.setList(), a.setUpdate(), a.setPin(true), a.setPin(false), a.setRemove(), a.setSign(), a.setPublish(), a.setKey())
	return c
}

func (a *app) setFolder() (*set.Folder, error) {
	if a.node != "" {
		return nil, protocol.Errorf(protocol.Unsupported, "package sets belong to this machine, and --node names another").WithHint("leave --node and NUKA_NODE out")
	}
	return set.Open(a.home.Sets())
}

// lockSets returns the right to change the sets, and the sets.
func (a *app) lockSets(ctx context.Context) (*set.Lock, []set.Set, error) {
	folder, err := a.setFolder()
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

func (a *app) setAdd() *cobra.Command {
	var signer string
	var first bool
	c := &cobra.Command{
		Use:   "add NAME WHERE",
		Short: "add a package set",
		Long: `Add gets a set, evaluates its packages to make its index, and adds it behind the sets that you have, before the one in nuka.
` + originHelp + `.
A folder is yours and needs no signer. Any other set needs --signer: the key of its author, which nuka set key prints there.`,
		Example: "  nuka set add mine ~/packages\n  nuka set add theirs git+https://example.org/packages.git#v2 --signer key-…",
		Args:    exactArgs("NAME", "WHERE"),
	}
	c.Flags().StringVar(&signer, "signer", "", "accept heads that `KEY` has signed, and no others")
	c.Flags().BoolVar(&first, "first", false, "put the set before the sets that you have")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		s := &set.Set{Name: words[0]}
		if err := checkSetName(s.Name); err != nil {
			return err
		}
		from, local, err := setOrigin(words[1])
		if err != nil {
			return err
		}
		s.From = from
		if signer != "" {
			if s.Signer, err = protocol.ParseKey(signer); err != nil {
				return protocol.Errorf(protocol.Invalid, "%w", err).WithHint("the author of the set prints it: nuka set key")
			}
		} else if place, err := swarmPlaceOf(from, protocol.PublishedSet); err != nil {
			return err
		} else if place != nil {
			s.Signer = place.keys[0] // whoever gave you the ticket or the key has said whose signature counts
		}
		lock, list, err := a.lockSets(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		if slices.ContainsFunc(list, func(o set.Set) bool { return o.Name == s.Name }) {
			return protocol.Errorf(protocol.Invalid, "there is a package set %s", s.Name).
				WithHint("to get its newest state: nuka set update %s; to take it from elsewhere: nuka set update %s --from WHERE", s.Name, s.Name)
		}
		if len(list) >= set.MaxSets {
			return protocol.Errorf(protocol.Exhausted, "there are %d package sets, and no more are allowed", len(list)).WithHint("remove one: nuka set remove NAME")
		}
		u := &setUpdate{a: a, lock: lock, first: first, unsigned: local}
		return u.all(c.Context(), []set.Set{*s})
	}
	return c
}

// checkSetName refuses names that cannot be told from a path in a set.
func checkSetName(name string) error {
	if !protocol.IsSetName(name) {
		return protocol.Errorf(protocol.Invalid, "package set %.80q: want lower-case letters, digits and . _ -, beginning with a letter or digit, 64 at most", name)
	}
	if info, err := fs.Stat(packages.FS, name); name == set.Embedded || err == nil && info.IsDir() {
		return protocol.Errorf(protocol.Invalid, "a package set cannot be named %s: that is the set in nuka, or a folder in it", name).WithHint("choose another name")
	}
	return nil
}

func (a *app) setUpdate() *cobra.Command {
	u := &setUpdate{a: a}
	from := ""
	c := &cobra.Command{
		Use:   "update [NAME…]",
		Short: "get the newest state of package sets and print what changed",
		Long: `Update gets the named sets again, or all without names, and prints which packages were added, removed and changed. It leaves pinned sets as they
are. Installed packages stay as they are, too: nuka upgrade changes them.`,
		Example: "  nuka set update --dry-run\n  nuka set update mine\n  nuka set update theirs --from nuka1…",
	}
	c.Flags().BoolVar(&u.dryRun, "dry-run", false, "print the changes, and change nothing")
	c.Flags().StringVar(&from, "from", "", "take the set from `WHERE` from now on; its signer stays the same")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeSets
	c.RunE = func(c *cobra.Command, names []string) error {
		lock, list, err := a.lockSets(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		chosen := list
		if len(names) > 0 {
			chosen = nil
		}
		for _, name := range names {
			i := slices.IndexFunc(list, func(s set.Set) bool { return s.Name == name })
			if i < 0 {
				return set.Unknown(name, list)
			}
			chosen = append(chosen, list[i])
		}
		if from != "" {
			if len(names) != 1 {
				return usage("set update: --from is about one set: give its name")
			}
			origin, local, err := setOrigin(from)
			if err != nil {
				return err
			}
			if !local && chosen[0].Signer.IsZero() {
				return noSigner(chosen[0].Name, nil)
			}
			chosen[0].From = origin
		}
		u.lock, u.unsigned = lock, true
		return u.all(c.Context(), chosen)
	}
	return c
}

func (a *app) setPin(pin bool) *cobra.Command {
	c := &cobra.Command{Use: "pin NAME…", Short: "let nuka set update leave package sets as they are", Example: "  nuka set pin mine"}
	if !pin {
		c = &cobra.Command{Use: "unpin NAME…", Short: "let nuka set update change package sets again", Example: "  nuka set unpin mine"}
	}
	return a.setChange(c, func(lock *set.Lock, name string) error {
		return lock.Change(name, func(s *set.Set) { s.Pinned = pin })
	})
}

func (a *app) setRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "remove NAME…", Short: "remove package sets",
		Long: "Remove removes package sets and their trees. Packages that were installed from them stay installed; nuka upgrade can no longer change them.",
	}
	return a.setChange(c, (*set.Lock).Remove)
}

// setChange makes a command that changes each of the sets that it names.
func (a *app) setChange(c *cobra.Command, change func(*set.Lock, string) error) *cobra.Command {
	c.ValidArgsFunction = a.completeSets
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 {
			return protocol.Errorf(protocol.Invalid, "set %s: NAME is missing", c.Name()).WithHint("nuka set list shows the package sets")
		}
		lock, list, err := a.lockSets(c.Context())
		if err != nil {
			return err
		}
		defer lock.Close()
		for _, name := range names {
			if !slices.ContainsFunc(list, func(s set.Set) bool { return s.Name == name }) {
				return set.Unknown(name, list)
			}
		}
		before, err := a.followed()
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := change(lock, name); err != nil {
				return err
			}
		}
		return a.unfollow(c.Context(), before)
	}
	return c
}

func (a *app) completeSets(_ *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
	var o offers
	if folder, err := a.setFolder(); err == nil {
		list, _ := folder.List()
		for _, s := range list {
			if !slices.Contains(before, s.Name) {
				o.add(word, s.Name, s.From)
			}
		}
	}
	return o, cobra.ShellCompDirectiveNoFileComp
}

// listedSet is the JSON form of a set.
type listedSet struct {
	Name     string        `json:"name"`
	From     string        `json:"from"`
	Packages int           `json:"packages"`
	Root     string        `json:"root,omitempty"`
	Signer   *protocol.Key `json:"signer,omitempty"`
	Number   int64         `json:"number,omitempty"`
	Expires  time.Time     `json:"expires,omitzero"`
	Updated  time.Time     `json:"updated,omitzero"`
	Pinned   bool          `json:"pinned,omitempty"`
	Problem  string        `json:"problem,omitempty"`
}

func (a *app) setList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "list the package sets in the order of their use", Args: exactArgs()}
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		folder, err := a.setFolder()
		if err != nil {
			return err
		}
		list, err := folder.List()
		if err != nil {
			return err
		}
		var out []listedSet
		for _, s := range list {
			l := listedSet{Name: s.Name, From: s.From, Root: s.Root.String(), Number: s.Number, Expires: s.Expires, Updated: s.Updated, Pinned: s.Pinned}
			if !s.Signer.IsZero() {
				l.Signer = &s.Signer
			}
			x, err := folder.Index(&s)
			switch {
			case err != nil:
				l.Problem = protocol.AsError(err).Message
			case !s.Expires.IsZero() && !time.Now().Before(s.Expires):
				l.Problem = "its head expired " + s.Expires.Format(time.DateOnly) + ", and it may be old"
			}
			if err == nil {
				l.Packages = x.Len()
			}
			out = append(out, l)
		}
		if embedded, err := embeddedIndex(); err == nil {
			out = append(out, listedSet{Name: set.Embedded, From: "nuka " + version, Packages: embedded.Len()})
		}
		if a.json {
			return a.terminal.json(out)
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, l := range out {
			var notes []string
			if l.Signer != nil {
				notes = append(notes, fmt.Sprintf("head %d of %s until %s", l.Number, l.Signer, l.Expires.Format(time.DateOnly)))
			}
			if l.Pinned {
				notes = append(notes, "pinned")
			}
			if l.Problem != "" {
				notes = append(notes, l.Problem)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, counted(l.Packages, "package"), printable(l.From), printable(strings.Join(notes, "; ")))
		}
		return w.Flush()
	}
	return c
}

// counted returns a number and a noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// removeAll removes a temporary folder, whose folders may lack the right to write.
func removeAll(dir string) {
	_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

// samePID reports whether two entries are of one PID, or one of them has none.
func samePID(a, b *set.Entry) bool {
	return a.PID == b.PID || a.PID == pir.PID{} || b.PID == pir.PID{}
}
