package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A shownEntry is an entry with its feed.
type shownEntry struct {
	Feed string `json:"feed"`
	osv.Entry
	LevelName string `json:"level"`
}

// entriesOf asks each feed for entries.
func (a *app) entriesOf(ask func(*feed.Tree) ([]osv.Entry, error)) ([]shownEntry, error) {
	folder, list, err := a.feedsInUse(nil)
	if err != nil {
		return nil, err
	}
	open, err := a.openFeeds(folder, list)
	if err != nil {
		return nil, err
	}
	var out []shownEntry
	for i := range open {
		entries, err := ask(open[i].Tree)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out = append(out, shownEntry{list[i].Name, e, e.Level.String()})
		}
	}
	slices.SortStableFunc(out, func(a, b shownEntry) int { return strings.Compare(a.ID+" "+a.Name, b.ID+" "+b.Name) })
	return out, nil
}

func (a *app) recordList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "list the records of your feeds", Args: exactArgs(),
		Example: "  nuka advisories list --since 2026-11-01",
	}
	since := c.Flags().String("since", "", "only records that were modified on `DATE` or later, as they say themselves")
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		if _, err := time.Parse(time.DateOnly, *since); *since != "" && err != nil {
			return usage("advisories list: --since %.40q: want a date as 2026-11-30", *since)
		}
		out, err := a.entriesOf(func(t *feed.Tree) ([]osv.Entry, error) { return t.Since(*since) })
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(append([]shownEntry{}, out...))
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for i := range out {
			e := &out[i]
			note := e.Summary
			if e.Withdrawn != "" {
				note = "withdrawn " + e.Withdrawn
			}
			fmt.Fprintln(w, printable(strings.Join([]string{e.ID, e.LevelName, e.Ecosystem, e.Name, note}, "\t")))
		}
		return w.Flush()
	}
	return c
}

func (a *app) recordShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Short: "show a record, by its identifier or an alias", Args: exactArgs("ID"),
		Example: "  nuka advisories show CVE-2023-45853",
	}
	a.jsonFlag(c)
	c.RunE = func(_ *cobra.Command, words []string) error {
		out, err := a.findRecord(words[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(out)
		}
		for i := range out {
			e := &out[i]
			fmt.Fprintln(a.out, printable(fmt.Sprintf("%s  %s  %s", e.ID, e.LevelName, e.Summary)))
			lines := [][2]string{{"feed", e.Feed}, {"aliases", strings.Join(e.Aliases, ", ")}, {"package", e.Ecosystem + " " + e.Name}, {"affected", affectedText(&e.Entry)},
				{"score", e.Score}, {"see", e.URL}, {"modified", e.Modified}, {"withdrawn", e.Withdrawn}, {"malformed", e.Fault}}
			for _, l := range lines {
				if l[1] != "" {
					fmt.Fprintln(a.out, printable(fmt.Sprintf("  %-10s %s", l[0], l[1])))
				}
			}
		}
		return nil
	}
	return c
}

// findRecord returns the entries of a record. If no feed has it, the error has the code NotFound.
func (a *app) findRecord(id string) ([]shownEntry, error) {
	if !osv.IsID(id) {
		return nil, protocol.Errorf(protocol.Invalid, "%.80q is no identifier of a record", id).WithHint("they are such as CVE-2023-45853, GHSA-… and GO-2024-2611")
	}
	out, err := a.entriesOf(func(t *feed.Tree) ([]osv.Entry, error) { return t.Find(id) })
	if err == nil && len(out) == 0 {
		return nil, protocol.Errorf(protocol.NotFound, "no feed that you follow has a record %s", id).WithHint("nuka advisories feeds shows the feeds")
	}
	return out, err
}

// affectedText describes the affected versions of an entry.
func affectedText(e *osv.Entry) string {
	var words []string
	for _, r := range e.Ranges {
		if r.Type == "GIT" {
			words = append(words, "commits of a repository (not evaluated)")
			continue
		}
		var events []string
		for _, v := range r.Events {
			switch {
			case v.Introduced == "0":
				events = append(events, "from the beginning")
			case v.Introduced != "":
				events = append(events, "from "+v.Introduced)
			case v.Fixed != "":
				events = append(events, "before "+v.Fixed)
			case v.LastAffected != "":
				events = append(events, "up to "+v.LastAffected)
			case v.Limit != "":
				events = append(events, "limit "+v.Limit)
			}
		}
		words = append(words, strings.Join(events, " "))
	}
	if n := len(e.Versions); n > 0 {
		words = append(words, shortList(e.Versions, 8))
	}
	return strings.Join(words, "; ")
}

// ignoreOptions are the flags of ignore and snooze.
type ignoreOptions struct {
	why, until, part string
}

func (a *app) ignoreCommand() *cobra.Command {
	var o ignoreOptions
	c := &cobra.Command{
		Use: "ignore ID", Short: "do not count a finding, for a reason and until an end", Args: exactArgs("ID"),
		Long: `Ignore keeps audit from counting the findings of a record. It ends by itself: when a fixed version is known (--until fixed), when the part has another version
(--until version), or on a date. Audit --all shows what is ignored.`,
		Example: "  nuka advisories ignore CVE-2023-45853 --until fixed --why 'we do not use minizip'",
	}
	c.Flags().StringVar(&o.why, "why", "", "the reason, for you and others")
	c.Flags().StringVar(&o.until, "until", "", "the end: fixed, version or a date")
	c.Flags().StringVar(&o.part, "part", "", "only where the part is `NAME`")
	c.RunE = func(c *cobra.Command, words []string) error {
		if o.why == "" || o.until == "" {
			return usage("advisories ignore: --why and --until are needed, so that it ends and somebody understands it")
		}
		return a.ignore(c.Context(), words[0], &o, false)
	}
	return c
}

func (a *app) snoozeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "snooze ID TIME", Short: "do not count a finding for some time", Args: exactArgs("ID", "TIME"),
		Long: "Snooze keeps audit from counting the findings of a record for TIME, such as 2wk or 3day, rounded up to whole days.", Example: "  nuka advisories snooze CVE-2023-45853 2wk",
	}
	c.RunE = func(c *cobra.Command, words []string) error {
		d, ok := snoozeTime(words[1])
		if !ok {
			return usage("advisories snooze: %.40q is no time up to a year, as 2wk or 3day", words[1])
		}
		end := time.Now().UTC().Add(d + 24*time.Hour - 1)
		return a.ignore(c.Context(), words[0], &ignoreOptions{until: end.Format(time.DateOnly), why: "put off"}, true)
	}
	return c
}

// snoozeTime reads how long a finding is put off: weeks, or what Nushell writes as a duration.
func snoozeTime(word string) (time.Duration, bool) {
	const year = 366 * 24 * time.Hour
	if n, err := strconv.Atoi(strings.TrimSuffix(word, "wk")); err == nil && strings.HasSuffix(word, "wk") && n > 0 && n < 53 {
		return time.Duration(n) * 7 * 24 * time.Hour, true
	}
	v, err := nuon.Parse([]byte(word))
	d, ok := v.(nuon.Duration)
	return time.Duration(d), err == nil && ok && d > 0 && time.Duration(d) <= year
}

// ignore adds an ignore. It names the aliases that the record itself has, so that it covers the same vulnerability under another name and nothing else.
func (a *app) ignore(ctx context.Context, id string, o *ignoreOptions, snooze bool) error {
	entries, err := a.findRecord(id)
	if err != nil && (protocol.CodeOf(err) != protocol.NotFound || !advisory.IsRecorded(id)) {
		return err
	}
	g := advisory.Ignore{ID: id, IDs: []string{id}, Part: o.part, Why: o.why, Until: o.until, Snooze: snooze, Made: time.Now().UTC().Truncate(time.Second)}
	for i := range entries {
		g.IDs = append(g.IDs, entries[i].IDs()...)
	}
	slices.Sort(g.IDs)
	g.IDs = slices.Compact(g.IDs)
	if o.until == advisory.UntilVersion {
		r, err := a.audit(ctx, nil, &auditOptions{tools: true})
		if err != nil {
			return err
		}
		all := slices.Concat(r.report.Findings, r.report.Notices)
		for i := range all {
			if f := &all[i]; slices.Contains(f.IDs, id) && (o.part == "" || o.part == f.Part.Name) {
				g.Versions = append(g.Versions, f.Part.Version)
			}
		}
		slices.Sort(g.Versions)
		if g.Versions = slices.Compact(g.Versions); len(g.Versions) == 0 {
			return protocol.Errorf(protocol.NotFound, "no part that you have is affected by %s, so there is no version to ignore", id).WithHint("give another end: --until fixed or a date")
		}
	}
	if err := g.Check(); err != nil {
		return protocol.Errorf(protocol.Invalid, "ignore: %w", err).WithHint("see: nuka advisories ignore --help")
	}
	lock, _, err := a.lockFeeds(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	list, err := a.ignores()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(h advisory.Ignore) bool { return h.ID == g.ID && h.Part == g.Part })
	if err := a.writeIgnores(append(list, g)); err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(g.IDs), func(s string) bool { return s == id })
	if len(others) > 0 {
		a.say("ignored until %s: %s, which is also %s", g.Until, id, shortList(others, 6))
	} else {
		a.say("ignored until %s: %s", g.Until, id)
	}
	return nil
}

func (a *app) writeIgnores(list []advisory.Ignore) error {
	text, err := advisory.EncodeIgnores(list)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "%w", err)
	}
	return atomicfile.Write(a.ignoredFile(), text)
}

func (a *app) ignoredCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "ignored", Short: "list what you ignore, and stop ignoring", Args: exactArgs(),
		Example: "  nuka advisories ignored\n  nuka advisories ignored --remove CVE-2023-45853",
	}
	remove := c.Flags().StringArray("remove", nil, "count the findings of `ID` again")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if len(*remove) > 0 {
			return a.unignore(c.Context(), *remove)
		}
		list, err := a.ignores()
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(append([]advisory.Ignore{}, list...))
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for i := range list {
			g := &list[i]
			end := "until " + g.Until
			if g.Ended(time.Now()) {
				end = "ended " + g.Until
			}
			fmt.Fprintln(w, printable(strings.Join([]string{g.ID, g.Part, end, g.Why}, "\t")))
		}
		return w.Flush()
	}
	return c
}

func (a *app) unignore(ctx context.Context, ids []string) error {
	lock, _, err := a.lockFeeds(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	list, err := a.ignores()
	if err != nil {
		return err
	}
	for _, id := range ids {
		n := len(list)
		if list = slices.DeleteFunc(list, func(g advisory.Ignore) bool { return g.ID == id }); len(list) == n {
			return protocol.Errorf(protocol.NotFound, "you do not ignore %.80q", id).WithHint("nuka advisories ignored lists what you ignore")
		}
	}
	if len(list) == 0 {
		if err := os.Remove(a.ignoredFile()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return a.writeIgnores(list)
}
