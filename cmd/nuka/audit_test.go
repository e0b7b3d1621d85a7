package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/internal/desktop/desktoptest"
	"github.com/MordragT/nuka/protocol"
)

// feedhead DIR NUMBER LIFETIME [SEED [NAME]] signs a feed with the key of a seed, as nuka advisories make does, but with any number and lifetime: -1h has expired, and 200h was issued
// in the future.
func feedhead(ts *testscript.TestScript, _ bool, args []string) {
	number, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	life, err := time.ParseDuration(args[2])
	ts.Check(err)
	seed, name := byte(1), "theirs"
	if len(args) > 3 {
		seed = args[3][0]
	}
	if len(args) > 4 {
		name = args[4]
	}
	dir := ts.MkAbs(args[0])
	h := &protocol.FeedHead{Name: name, Number: number, Expires: time.Now().Add(life)}
	h.Issued = h.Expires.Add(-protocol.MaxFeedLifetime)
	h.Root, err = feed.HashTree(context.Background(), os.DirFS(dir))
	ts.Check(err)
	ts.Check(h.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))))
	text, err := feed.EncodeHeads([]*protocol.FeedHead{h})
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, feed.HeadsFile), text, 0o644))
	ts.Setenv("GOT_SIGNER", h.Signer.String())
}

// TestTellOnce checks that the terminal gets a line once for each change, and a word when nobody has looked for long.
func TestTellOnce(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	n := &notes{}
	if line := n.tell(now); line != "" {
		t.Errorf("before any audit: %q", line)
	}
	found := advisory.Picture{Findings: map[string]advisory.Brief{"npm p 1.0 CVE-1": {ID: "CVE-1", Part: "p 1.0", Packages: []string{"httpd"}}}}
	n.At, n.Found = now, found
	if line := n.tell(now); line != "1 package has a known vulnerability: nuka audit" {
		t.Errorf("first: %q", line)
	}
	for range 3 {
		if line := n.tell(now); line != "" {
			t.Errorf("again: %q", line)
		}
	}
	if line := n.tell(now.Add(15 * 24 * time.Hour)); line != "the last audit was 15 days ago: nuka advisories update, and nuka audit" {
		t.Errorf("after long: %q", line)
	}
	if line := n.tell(now.Add(15 * 24 * time.Hour)); line != "" {
		t.Errorf("after long, again: %q", line)
	}
	n.Found, n.Quiet = advisory.Picture{Findings: map[string]advisory.Brief{"x": {ID: "CVE-2"}}}, true
	if line := n.tell(now); line != "" {
		t.Errorf("turned off: %q", line)
	}
}

func TestGoVersion(t *testing.T) {
	for v, want := range map[string]string{"1.26.1": "1.26.1", "1.26rc1": "1.26.0-rc.1", "1.26": "1.26", "1.21.0rc2": "1.21.0-rc.2"} {
		if got := goVersion(v); got != want {
			t.Errorf("%s: got %s, want %s", v, got, want)
		}
	}
}

func TestDebianRelease(t *testing.T) {
	for v, want := range map[string]string{"3.0.19-1~deb12u2": "12", "1:1.2.13.dfsg-1": "13", "3.5.4-1~deb13u1": "13", "1.2-3+deb11u1": "11"} {
		if got := releaseOf(v, "13"); got != want {
			t.Errorf("%s: got %s, want %s", v, got, want)
		}
	}
}

// desktopServer is the server of notes of a script: `desktop start [hang]` starts it on a bus of its own and sets DBUS_SESSION_BUS_ADDRESS; `desktop notes FILE` writes what it was asked to show since
// the last time to a file, a note in a line.
func desktopServer(ts *testscript.TestScript, _ bool, args []string) {
	switch args[0] {
	case "start":
		dir := ts.MkAbs("bus")
		ts.Check(os.MkdirAll(dir, 0o700))
		bus, err := desktoptest.Start(dir)
		ts.Check(err)
		ts.Defer(bus.Close)
		bus.Hang = len(args) > 1
		ts.Check(bus.Serve())
		ts.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
		desktops.Store(bus.Address, &shownNotes{bus: bus})
	case "notes":
		found, ok := desktops.Load(ts.Getenv("DBUS_SESSION_BUS_ADDRESS"))
		if !ok {
			ts.Fatalf("no desktop was started")
		}
		s := found.(*shownNotes) //nolint:forcetypeassert // nothing else is stored
		all := s.bus.Notes()
		var text []byte
		for _, n := range all[s.seen:] {
			text = fmt.Appendf(text, "%d %d %s: %s\n", n.Replaces, n.Urgency, n.Title, n.Body)
		}
		s.seen = len(all)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
	default:
		ts.Fatalf("desktop start|notes")
	}
}

// shownNotes is a bus, and how many of its notes the script has seen.
type shownNotes struct {
	bus  *desktoptest.Bus
	seen int
}

var desktops sync.Map // of shownNotes, by address
