package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

func TestApply(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1 , after: [db]", "db": "1"})
	m.want("first", "1\ndb.unit [\"/nuka\",\"db@1\"]\ndb@1 ready\nweb.unit [\"/nuka\",\"web@1\"]\nweb@1 ready")
	if got := strings.Join(m.manager.log, ", "); got != "reload, start db, start web" {
		t.Errorf("got %s", got)
	}
	m.manager.log = nil
	r := m.apply(map[string]string{"web": "2 , after: [db]", "db": "1"})
	m.want("second", "2\ndb.unit [\"/nuka\",\"db@1\"]\ndb@1 ready\nweb.unit [\"/nuka\",\"web@2\"]\nweb@2 ready")
	if got := strings.Join(m.manager.log, ", "); got != "reload, start web" || r.Back || len(r.Failures) > 0 {
		t.Errorf("got %s, %+v", got, r)
	}
	m.manager.log = nil
	m.apply(map[string]string{"web": "2 "})
	m.want("third", "3\nweb.unit [\"/nuka\",\"web@3\"]\nweb@3 ready")
	if got := strings.Join(m.manager.log, ", "); got != "stop db, reload, start web" {
		t.Errorf("got %s", got)
	}
	current, err := m.dir.Current()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.change.Apply(t.Context(), current, nil); err != nil {
		t.Fatal(err)
	}
	m.want("none", "0")
}

func TestPlan(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1 , after: [db]", "db": "1", "old": "1", "same": "1"})
	m.manager.end("same")
	if err := m.dir.SetStopped([]string{"db"}); err != nil {
		t.Fatal(err)
	}
	current, g := m.next(map[string]string{"web": `2 , after: [db], env: {A: "1"}, stop: {signal: INT}`, "db": "1", "new": "1", "same": "1"})
	view, err := m.dir.See(current, g)
	if err != nil {
		t.Fatal(err)
	}
	want := &Plan{From: 1, To: 2, Steps: []Step{
		{"old", Stop, []string{"it is not in the set any more"}},
		{"db", Stop, []string{"it was stopped by nuka services stop"}},
		{"new", Start, []string{"it is new"}},
		{"same", Start, []string{"it does not run"}},
		{"web", Restart, []string{`env.A: nothing → "1"`, `run.2: "1" → "2"`, `stop.signal: nothing → "INT"`}},
	}}
	got := NewPlan(current, g, view)
	slices.SortStableFunc(got.Steps[2:], func(a, b Step) int { return strings.Compare(a.Service, b.Service) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A unit that is only written in another way needs no restart.
	g.Members["web"] = current.Members["web"]
	other := *current
	other.Members = map[string]Member{}
	for name, member := range current.Members {
		member.Units = []service.Unit{{Path: name + ".unit", Text: "other"}}
		other.Members[name] = member
	}
	steps := NewPlan(current, &other, view).Steps
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Service == "web" })
	if i < 0 || steps[i].Action != Reload {
		t.Errorf("got %+v", steps)
	}
}

func TestDiff(t *testing.T) {
	m := newMachine(t)
	_, a := m.next(map[string]string{"web": `1 , env: {A: "1"}`})
	_, b := m.next(map[string]string{"web": `1 `})
	b.Text = strings.Replace(b.Text, `srv, "1"`, `srv, --root, "{state}", "1"`, 1)
	b.Text = strings.Replace(b.Text, pid, strings.Replace(pid, "jos", "abc", 1), 1)
	want := []string{`env.A: "1" → nothing`, "run.0: p josmkpxw → p abcmkpxw", `run, from item 2: nothing → ["--root","{state}"]`}
	if diff := cmp.Diff(want, Diff(a.record("web"), b.record("web"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestBack applies a set with a service that is not ready any more: the services before are back.
func TestBack(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1", "db": "1"})
	before := m.state()
	r := m.apply(map[string]string{"web": "bad", "db": "2", "more": "1"})
	m.want("after the failure", before)
	if !r.Back || len(r.BackFailures) > 0 || len(r.Failures) != 1 || r.Failures[0].Service != "web" || !strings.HasPrefix(r.Failures[0].Why, "was not ready in 40ms: it exited with 3") ||
		!slices.Equal(r.Failures[0].Log, []string{"generation 2 of web"}) {
		t.Errorf("got %+v", r)
	}
	g, err := m.dir.Generation(2)
	if err != nil || !strings.HasPrefix(g.Failed, "web was not ready") {
		t.Errorf("got %+v, %v", g, err)
	}
	if m.dir.Interrupted() {
		t.Error("the journal is left")
	}
	// The next one has a number of its own.
	m.apply(map[string]string{"web": "3", "db": "1"})
	if n, _ := m.dir.Number(); n != 3 {
		t.Errorf("got %d", n)
	}
}

// TestNewFails adds services that are not ready: what ran before stays, unless it needs one of them.
func TestNewFails(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1"})
	r := m.apply(map[string]string{"web": "2", "new": "bad", "other": "1 , after: [new]"})
	if r.Back || len(r.Failures) != 2 || r.Failures[1].Why != "was not started: new is not ready" {
		t.Errorf("got %+v", r)
	}
	m.want("a new one fails", "2\nnew.unit [\"/nuka\",\"new@2\"]\nnew@2 pausing\nother.unit [\"/nuka\",\"other@2\"]\nweb.unit [\"/nuka\",\"web@2\"]\nweb@2 ready")

	m = newMachine(t)
	m.apply(map[string]string{"web": "1"})
	before := m.state()
	if r := m.apply(map[string]string{"web": "2 , after: [new]", "new": "bad"}); !r.Back {
		t.Errorf("got %+v", r)
	}
	m.want("one that is needed fails", before)
}

// TestManagerFails has operations of the service manager fail: the services before are back when it works again.
func TestManagerFails(t *testing.T) {
	for _, op := range []string{"reload", "start web", "stop"} {
		m := newMachine(t)
		m.apply(map[string]string{"web": "1", "old": "1"})
		before := m.state()
		m.manager.fail = op
		if _, err := m.tryApply(map[string]string{"web": "2"}); err == nil {
			t.Errorf("%s: no error", op)
		}
		m.manager.fail = ""
		if err := m.change.Recover(t.Context(), pir.PID{}); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		m.want(op, before)
	}
}

// TestCanceled ends a change while it waits.
func TestCanceled(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1"})
	before := m.state()
	ctx, cancel := context.WithCancel(t.Context())
	m.change.before = func(step string) error {
		if step == "wait web" {
			cancel()
		}
		return nil
	}
	current, g := m.next(map[string]string{"web": "bad"})
	r, err := m.change.Apply(ctx, current, g)
	if !errors.Is(err, context.Canceled) || !r.Back {
		t.Errorf("got %+v, %v", r, err)
	}
	m.want("after Ctrl-C", before)
}

// TestInterrupted ends a change before each of its steps, as a kill would, and then applies the same set or another one.
func TestInterrupted(t *testing.T) {
	a := map[string]string{"web": "1 , after: [db]", "db": "1", "old": "1"}
	b := map[string]string{"web": "2 , after: [db]", "db": "2", "new": "1"}
	steps := 0
	for _, second := range []map[string]string{b, a, {"web": "bad", "db": "1", "old": "1"}} {
		for n := 0; ; n++ {
			m := newMachine(t)
			m.apply(a)
			var mu sync.Mutex // services start beside each other
			count := 0
			m.change.before = func(string) error {
				mu.Lock()
				defer mu.Unlock()
				if count == n {
					return errStep
				}
				count++
				return nil
			}
			_, err := m.tryApply(b)
			if err == nil {
				steps += n
				break
			}
			m.change.before = nil
			if !errors.Is(err, errStep) {
				t.Fatal(err)
			}
			var want pir.PID // the test's sets have one PID; so this says whether the second is b
			if fmt.Sprint(second) == fmt.Sprint(b) {
				want, _ = pir.ParsePID(pid)
			}
			if err := m.change.Recover(t.Context(), want); err != nil {
				t.Fatalf("step %d: %v", n, err)
			}
			if m.dir.Interrupted() {
				t.Errorf("step %d: the journal is left", n)
			}
			m.whole(a, b)
			m.apply(second)
			m.whole(a, second, b)
		}
	}
	if steps < 3*8 {
		t.Errorf("only %d steps", steps)
	}
}

// TestLate interrupts a change whose order to stop a service is still being carried out when the next command looks.
func TestLate(t *testing.T) {
	m := newMachine(t)
	a := map[string]string{"web": "1", "old": "1"}
	m.apply(a)
	before := m.state()
	m.change.before = func(step string) error {
		if step == "stop old" {
			m.manager.late = func() { m.manager.end("old") }
			return errStep
		}
		return nil
	}
	if _, err := m.tryApply(map[string]string{"web": "1"}); !errors.Is(err, errStep) {
		t.Fatal(err)
	}
	m.change.before = nil
	if err := m.change.Recover(t.Context(), pir.PID{}); err != nil {
		t.Fatal(err)
	}
	if m.manager.late != nil {
		m.manager.late() // nobody has waited for it
	}
	m.want("after the order", before)
}

// whole fails the test unless exactly one of some sets is in use, as a whole.
func (m *machine) whole(sets ...map[string]string) {
	m.t.Helper()
	g, err := m.dir.Current()
	if err != nil {
		m.t.Fatal(err)
	}
	if !slices.ContainsFunc(sets, func(s map[string]string) bool {
		fresh, err := service.Decode([]byte(set(s)))
		if err != nil {
			m.t.Fatal(err)
		}
		order, _ := service.Order(fresh)
		return cmp.Equal(order, g.Services())
	}) {
		m.t.Errorf("generation %d is none of the sets", g.Number)
	}
	want := []string{fmt.Sprint(g.Number)}
	for name, member := range g.Members {
		want = append(want, name+".unit "+strings.TrimSpace(member.Units[0].Text), fmt.Sprintf("%s@%d ready", name, member.From))
	}
	slices.Sort(want[1:])
	m.want("the machine", strings.Join(want, "\n"))
}

// TestByHand changes units by hand.
func TestByHand(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1"})
	at := filepath.Join(m.manager.folder, "web.unit")
	write := func(at, text string) {
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(at, "mine\n")
	_, err := m.tryApply(map[string]string{"web": "2"})
	if protocol.CodeOf(err) != protocol.Denied || !strings.Contains(err.Error(), "-[\"/nuka\",\"web@1\"]\n+mine") {
		t.Errorf("got %v", err)
	}
	if m.dir.Interrupted() {
		t.Error("a change was begun")
	}
	m.change.Force = true
	m.apply(map[string]string{"web": "2"})
	m.want("forced", "3\nweb.unit [\"/nuka\",\"web@3\"]\nweb@3 ready")
	if kept, _ := filepath.Glob(m.dir.at("kept", "web.unit-*")); len(kept) != 1 {
		t.Errorf("kept %v", kept)
	}
	m.change.Force = false
	// A unit of somebody else is in the way.
	write(filepath.Join(m.manager.folder, "new.unit"), "theirs\n")
	if _, err := m.tryApply(map[string]string{"web": "2", "new": "1"}); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("got %v", err)
	}
	// One that was removed is written again.
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	current, err := m.dir.Current()
	if err != nil {
		t.Fatal(err)
	}
	view, err := m.dir.See(current)
	if err != nil {
		t.Fatal(err)
	}
	if pending, err := m.change.Pending(NewPlan(current, current, view), current, current); !pending || err != nil {
		t.Errorf("got %v, %v", pending, err)
	}
}

// TestStopped stops a service: it stays stopped in the next generation, until it is started.
func TestStopped(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1", "db": "1"})
	if err := m.dir.SetStopped([]string{"web"}); err != nil {
		t.Fatal(err)
	}
	current, err := m.dir.Current()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.change.Apply(t.Context(), current, current); err != nil {
		t.Fatal(err)
	}
	m.want("stopped", "1\ndb.unit [\"/nuka\",\"db@1\"]\ndb@1 ready")
	m.apply(map[string]string{"web": "2", "db": "2"})
	m.want("the next generation", "2\ndb.unit [\"/nuka\",\"db@2\"]\ndb@2 ready")
	if err := m.dir.SetStopped(nil); err != nil {
		t.Fatal(err)
	}
	current, err = m.dir.Current()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.change.Apply(t.Context(), current, current); err != nil {
		t.Fatal(err)
	}
	m.want("started", "2\ndb.unit [\"/nuka\",\"db@2\"]\ndb@2 ready\nweb.unit [\"/nuka\",\"web@2\"]\nweb@2 ready")
}

func TestLock(t *testing.T) {
	d := Open(t.TempDir())
	l, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(t.Context()); protocol.CodeOf(err) != protocol.Busy || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = d.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestDamaged reads records that somebody has changed.
func TestDamaged(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1"})
	for _, text := range []string{"", "{}", "[", `{generation: 2}`, `{generation: 1, set: x}`, strings.Repeat("{a: ", 100_000)} {
		if err := os.WriteFile(m.dir.record(1), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := m.dir.Current(); protocol.CodeOf(err) != protocol.Damaged {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
	for _, name := range []string{"current", "journal"} {
		if err := os.WriteFile(m.dir.at(name), []byte("x y"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.dir.Number(); protocol.CodeOf(err) != protocol.Damaged {
		t.Errorf("got %v", err)
	}
	if err := m.change.Recover(t.Context(), pir.PID{}); protocol.CodeOf(err) != protocol.Damaged {
		t.Errorf("got %v", err)
	}
}

// TestOld forgets old generations, and none that is in use.
func TestOld(t *testing.T) {
	m := newMachine(t)
	m.apply(map[string]string{"web": "1", "db": "1"})
	for i := 2; i <= 5; i++ {
		m.apply(map[string]string{"web": fmt.Sprint(i), "db": "1"})
	}
	for n, want := range map[int]string{1: "[2 3 4]", 2: "[2 3]", 5: "[]", 9: "[]"} {
		if got, err := m.dir.Old(n); err != nil || fmt.Sprint(got) != want { // the first has described db
			t.Errorf("%d: got %v, %v, want %s", n, got, err, want)
		}
	}
	// A launcher that still runs needs its own.
	p, err := m.dir.Place(t.Context(), "gone", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Tell(Running{Generation: 3}); err != nil {
		t.Fatal(err)
	}
	if got, err := m.dir.Old(1); err != nil || fmt.Sprint(got) != "[2 4]" {
		t.Errorf("got %v, %v", got, err)
	}
	p.Close()
	if got, err := m.dir.Old(1); err != nil || fmt.Sprint(got) != "[2 3 4]" {
		t.Errorf("got %v, %v", got, err)
	}
}
