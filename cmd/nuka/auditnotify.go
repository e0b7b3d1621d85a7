package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/desktop"
	"github.com/MordragT/nuka/protocol"
)

// This file tells the user what audits found: a line after a command, a note on the desktop, and a program of the user's. Each change is told once to each of them.

const (
	// hookTime is how long the user's program may run.
	hookTime = 10 * time.Second
	// auditEvery is how often watch looks, and auditJitter by how much more at most: not all machines ask at once.
	auditEvery, auditJitter = 6 * time.Hour, 2 * time.Hour
	// lookAgain is after how long without an audit a command says so.
	lookAgain = 14 * 24 * time.Hour
	// maxNotes bounds the file of what was found and told, in bytes.
	maxNotes = 64 << 20
)

// notes is what is remembered of audits: the file found.json in the folder of feeds.
type notes struct {
	Schema int              `json:"schema"`
	At     time.Time        `json:"at"` // of the last audit
	Found  advisory.Picture `json:"found"`
	// Terminal, Hook and Desktop are the pictures of which the terminal, the user's program and the desktop were told last.
	Terminal advisory.Picture `json:"terminal"`
	Hook     advisory.Picture `json:"hook"`
	Desktop  advisory.Picture `json:"desktop,omitzero"`
	// Note is the number of the last note on the desktop, in whose place the next one comes; 0 is none.
	Note uint32 `json:"note,omitempty"`
	// Reminded is when a command last said that nobody has looked for long.
	Reminded time.Time `json:"reminded,omitzero"`
	// Run is the user's program and its arguments; Quiet turns the line off, and NoDesktop the notes on the desktop.
	Run       []string `json:"run,omitempty"`
	Quiet     bool     `json:"quiet,omitempty"`
	NoDesktop bool     `json:"no_desktop,omitempty"`
}

func (a *app) notesFile() string { return filepath.Join(a.home.Advisories(), "found.json") }

// readNotes reads what is remembered. A file that is missing or damaged gives nothing: then findings are told once more.
func (a *app) readNotes() *notes {
	n := &notes{Schema: auditSchema}
	info, err := os.Lstat(a.notesFile())
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxNotes {
		return n
	}
	text, err := os.ReadFile(a.notesFile())
	if err == nil && json.Unmarshal(text, n) != nil || n.Schema != auditSchema {
		return &notes{Schema: auditSchema}
	}
	return n
}

func (a *app) writeNotes(n *notes) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return atomicfile.Replace(a.notesFile(), text)
}

// noteAudit remembers the findings of an audit of everything. The one who reads its output has been told.
func (a *app) noteAudit(r *audited) {
	n := a.readNotes()
	n.At, n.Found = r.now, advisory.PictureOf(r.report)
	n.Terminal = n.Found
	_ = a.writeNotes(n) // without it, a command tells of the findings once more
}

// noteFindings prints a line after a command of a person, if an audit found something that the person was not told of. It reads one small file and audits nothing.
func (a *app) noteFindings(c *cobra.Command) {
	if a.json || a.node != "" || !a.person() || os.Getenv("CI") != "" {
		return
	}
	for top := c; top != nil; top = top.Parent() {
		if slices.Contains([]string{"run", "exec", "shell", "audit", "advisories", "completion", "hook", "enter", "help", "__complete"}, top.Name()) {
			return
		}
	}
	n := a.readNotes()
	if line := n.tell(time.Now()); line != "" {
		a.say("%s", line)
		_ = a.writeNotes(n) // without it, the line comes again
	}
}

// person reports whether the command writes to a person's terminal.
func (a *app) person() bool {
	f, ok := a.err.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && a.decorates()
}

// tell returns the line for the terminal, and records that it was told; "" is nothing.
func (n *notes) tell(now time.Time) string {
	if n.Quiet || n.At.IsZero() {
		return ""
	}
	news := n.Found.Since(&n.Terminal)
	line := n.Found.Line(&news, &n.Terminal)
	n.Terminal = n.Found
	if old := now.Sub(n.At); line == "" && old > lookAgain && now.Sub(n.Reminded) > lookAgain {
		n.Reminded = now
		return fmt.Sprintf("the last audit was %s ago: nuka advisories update, and nuka audit", age(old))
	}
	return line
}

func (a *app) watchCommand() *cobra.Command {
	once, run, terminal, onDesktop := false, []string{}, "", ""
	c := &cobra.Command{
		Use:   "watch",
		Short: "update feeds and audit, now and then, and tell what is new",
		Long: `Watch updates the feeds, audits what is installed, and tells what is new: a line after your next command in a terminal, a note on your desktop, and a program of yours, which gets
JSON on its standard input, at most 10 seconds, and no shell. It upgrades nothing. --once looks once, for a timer. --run, --terminal and --desktop are remembered.`,
		Example: "  nuka advisories watch --once\n  nuka advisories watch --once --run msmtp --run me@example.org\n  nuka advisories watch --once --terminal off",
		Args:    exactArgs(),
	}
	c.Flags().BoolVar(&once, "once", false, "look once, and end")
	c.Flags().StringArrayVar(&run, "run", nil, "run this program when there is news, from now on: `WORD` for the program and for each of its arguments; a single empty word removes it")
	c.Flags().StringVar(&terminal, "terminal", "", "on or off: whether a line comes after your next command")
	c.Flags().StringVar(&onDesktop, "desktop", "", "on or off: whether a note comes on the desktop")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network: only feeds in folders are updated")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := a.setNotes(run, terminal, onDesktop); err != nil {
			return err
		}
		for {
			if err := a.watch(c.Context()); err != nil || once {
				return err
			}
			select {
			case <-c.Context().Done():
				return c.Context().Err()
			case <-time.After(auditEvery + rand.N(auditJitter)): //nolint:gosec // it is no secret
			}
		}
	}
	return c
}

// setNotes remembers how the user wants to be told.
func (a *app) setNotes(run []string, terminal, onDesktop string) error {
	if len(run) == 0 && terminal == "" && onDesktop == "" {
		return nil
	}
	n := a.readNotes()
	if len(run) == 1 && run[0] == "" {
		n.Run = nil
	} else if len(run) > 0 {
		n.Run = run
	}
	for flag, s := range map[string]struct {
		word string
		off  *bool
	}{"terminal": {terminal, &n.Quiet}, "desktop": {onDesktop, &n.NoDesktop}} {
		switch s.word {
		case "":
		case "on", "off":
			*s.off = s.word == "off"
		default:
			return usage("advisories watch: --%s %.40q: want on or off", flag, s.word)
		}
	}
	if err := os.MkdirAll(a.home.Advisories(), 0o700); err != nil {
		return err
	}
	return a.writeNotes(n)
}

// watch looks once. A feed that cannot be updated is said, and what is here is audited all the same.
func (a *app) watch(ctx context.Context) error {
	lock, list, err := a.lockFeeds(ctx)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(a.home.Watched(), nil); err != nil { // the daemon looks next when its interval has passed since now, also if this look fails
		return errors.Join(err, lock.Close())
	}
	for i := range list {
		if _, err := a.updateFeed(ctx, lock, &list[i]); err != nil {
			a.say("%s", protocol.AsError(err).Message)
		}
	}
	if err := lock.Close(); err != nil {
		return err
	}
	r, err := a.audit(ctx, nil, &auditOptions{})
	if err != nil {
		return err
	}
	for i := range r.feeds {
		if r.feeds[i].Age(r.now) != feed.Fresh {
			a.say("%s", feedAge(&r.feeds[i], r.now))
		}
	}
	n := a.readNotes()
	n.At, n.Found = r.now, advisory.PictureOf(r.report)
	news := n.Found.Since(&n.Hook)
	told := n.Hook
	n.Hook = n.Found
	shown := n.Found.Since(&n.Desktop)
	if n.NoDesktop || !shown.Any() { // what is gone is no news, and is news when it comes back
		n.Desktop = n.Found
	}
	if err := a.writeNotes(n); err != nil { // before it is told: a program that always fails is not called again and again
		return err
	}
	if err := a.showNote(ctx, n); err != nil {
		return err
	}
	if len(n.Run) > 0 && news.Any() {
		return a.runHook(ctx, n, &news, &told)
	}
	return nil
}

// showNote shows what is new on the desktop, in the place of the last note. Where there is no desktop nothing is said: the next look tells of it where there is one.
func (a *app) showNote(ctx context.Context, n *notes) error {
	news := n.Found.Since(&n.Desktop)
	if !news.Any() {
		return nil
	}
	note := desktop.Note{Title: "Known vulnerabilities", Body: n.Found.Line(&news, &n.Desktop), Replaces: n.Note, Urgent: len(news.Exploited) > 0}
	for _, key := range news.New {
		note.Urgent = note.Urgent || n.Found.Findings[key].Exploited
	}
	id, err := desktop.Show(ctx, desktop.Address(os.Getenv), &note)
	if err != nil {
		return ctx.Err()
	}
	n.Desktop, n.Note = n.Found, id
	return a.writeNotes(n)
}

// A hookMessage is what the user's program gets.
type hookMessage struct {
	Schema   int                       `json:"schema"`
	Line     string                    `json:"line"`
	News     advisory.News             `json:"news"`
	Findings map[string]advisory.Brief `json:"findings"`
}

// runHook runs the user's program. The data are on its standard input only: nothing that a record says becomes an argument.
func (a *app) runHook(ctx context.Context, n *notes, news *advisory.News, old *advisory.Picture) error {
	text, err := json.Marshal(hookMessage{auditSchema, n.Found.Line(news, old), *news, n.Found.Findings})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	c := exec.CommandContext(ctx, n.Run[0], n.Run[1:]...)
	c.Stdin = strings.NewReader(string(text))
	alone(c)
	c.WaitDelay = time.Second
	err = c.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		err = fmt.Errorf("it ran for more than %s, and was ended", hookTime)
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("there is no such program")
	}
	a.say("the program %.80q, which tells what is new: %v", n.Run[0], err)
	return nil
}
