package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/protocol"
)

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
