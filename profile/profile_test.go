package profile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func TestMain(m *testing.M) {
	if what := os.Getenv("NUKA_TEST_CHANGE"); what != "" {
		os.Exit(changeForever(what))
	}
	goleak.VerifyTestMain(m)
}

func id(text string) pir.PID { return pir.Sum([]byte(text)) }

// sample returns a generation whose packages depend on its number.
func sample(n int) *Generation {
	g := &Generation{Number: n, Created: time.Unix(int64(1000+n), 0).UTC(), Command: "install", Packages: map[string]Package{}}
	if n%5 == 0 {
		return g // an empty profile
	}
	for i := range 3 {
		name := "p" + strconv.Itoa(i)
		g.Packages[name] = Package{
			Asked: name, Version: strconv.Itoa(n), PID: id(name + strconv.Itoa(n)), Commands: []string{name, name + "-tool"}, Pinned: i == 1, Args: []string{"--n"},
			Merge: pir.Merge{Priority: i, Leave: []string{"share/doc"}},
		}
	}
	return g
}

var start = &Start{Program: "/opt/nuka", Home: "/srv/home"}

func open(t *testing.T, profiles string) *Dir {
	t.Helper()
	d, err := Open(profiles, Default)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// add adds the next generation.
func add(t *testing.T, d *Dir) *Generation {
	t.Helper()
	l, err := d.Lock(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := l.Next()
	if err != nil {
		t.Fatal(err)
	}
	g := sample(n)
	if err := l.Add(g, "/mnt", start); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAddAndUse(t *testing.T) {
	d := open(t, t.TempDir())
	if g, err := d.Current(); g != nil || err != nil {
		t.Fatalf("got %v, %v; want no generation", g, err)
	}
	for n := 1; n <= 6; n++ {
		want := add(t, d)
		got, err := d.Current()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("generation %d: (-want +got)\n%s", n, diff)
		}
	}
	check(t, d)
	l, err := d.Lock(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Use(2); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Number(); n != 2 || err != nil {
		t.Errorf("got %d, %v; want 2", n, err)
	}
	if err := l.Use(9); protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("got %v, want not-found", err)
	}
	if err := l.Add(sample(3), "/mnt", start); err == nil {
		t.Error("a generation was replaced")
	}
	removed, err := l.Keep(2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 3, 4}, removed); diff != "" { // 2 is in use
		t.Error(diff)
	}
	if all, err := d.Numbers(); err != nil || !cmp.Equal(all, []int{2, 5, 6}) {
		t.Errorf("got %v, %v", all, err)
	}
	check(t, d)
}

// check checks that every generation and the link to the one in use are whole, and that nothing else is there.
func check(t *testing.T, d *Dir) {
	t.Helper()
	numbers, err := d.Numbers()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		got, err := d.Generation(n)
		if err != nil {
			t.Errorf("generation %d: %v", n, err)
			continue
		}
		want := sample(n)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("generation %d: (-want +got)\n%s", n, diff)
		}
		for _, l := range want.Launchers() {
			name, text := l.file(start)
			if b, err := os.ReadFile(filepath.Join(d.Folder(n), "bin", name)); err != nil || string(b) != string(text) {
				t.Errorf("generation %d: launcher %s: %q, %v", n, name, b, err)
			}
		}
		env, err := want.EnvPID()
		if err != nil {
			t.Fatal(err)
		}
		target, err := os.Readlink(filepath.Join(d.Folder(n), "tree"))
		if env.IsZero() != (err != nil) || err == nil && target != filepath.Join("/mnt", env.String()) {
			t.Errorf("generation %d: tree is %q, %v", n, target, err)
		}
	}
	if _, err := d.Current(); err != nil {
		t.Errorf("current: %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	profiles := t.TempDir()
	l, err := open(t, profiles).Lock(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waits := 0
	if _, err := open(t, profiles).Lock(ctx, func() { waits++ }); protocol.CodeOf(err) != protocol.Busy || waits != 1 {
		t.Errorf("got %v after %d notices, want busy after one", err, waits)
	}
	canceled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := open(t, profiles).Lock(canceled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Many at once: each gets a number of its own.
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { add(t, open(t, profiles)) })
	}
	group.Wait()
	d := open(t, profiles)
	if all, err := d.Numbers(); err != nil || len(all) != 8 {
		t.Errorf("got %v, %v; want 8 generations", all, err)
	}
	check(t, d)
}

func TestDiff(t *testing.T) {
	a, b := sample(1), sample(1)
	p := b.Packages["p0"]
	p.PID = id("other")
	b.Packages["p0"] = p
	delete(b.Packages, "p1")
	b.Packages["new"] = Package{Asked: "new", PID: id("new")}
	q := b.Packages["p2"]
	q.Merge.Rename = map[string]string{"a": "b"}
	b.Packages["p2"] = q
	var got []string
	for _, c := range Diff(a, b) {
		switch {
		case c.Old == nil:
			got = append(got, "+"+c.Name)
		case c.New == nil:
			got = append(got, "-"+c.Name)
		default:
			got = append(got, "~"+c.Name)
		}
	}
	if diff := cmp.Diff([]string{"+new", "~p0", "-p1", "~p2"}, got); diff != "" {
		t.Error(diff)
	}
	if d := Diff(a, sample(1)); len(d) != 0 {
		t.Errorf("got %v, want no difference", d)
	}
	if d := Diff(nil, a); len(d) != 3 || d[0].Old != nil {
		t.Errorf("got %v, want three new packages", d)
	}
}

// FuzzDecode checks that a record that decode accepts is one that encode writes.
func FuzzDecode(f *testing.F) {
	for n := range 6 {
		text, err := sample(n).encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(strings.Repeat("{", 200) + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := decode(1, text)
		if err != nil {
			return
		}
		again, err := g.encode()
		if err != nil || string(again) != string(text) {
			t.Errorf("got %q, %v; want %q", again, err, text)
		}
		for _, l := range g.Launchers() {
			if name, _ := l.file(start); name != filepath.Base(name) {
				t.Errorf("a launcher has the name %q", name)
			}
		}
	})
}
