package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
)

const pid = "josmkpxwq3e3siqtx7i4kqwy75wil6w2cwfws6nsvqf7oxie4ija"

// set returns the text of a set: fields of services by their names. A service whose argument is bad is never ready.
func set(services map[string]string) string {
	var b strings.Builder
	b.WriteString("{")
	for name, fields := range services {
		arg, rest, _ := strings.Cut(fields, " ")
		fmt.Fprintf(&b, "%s: {run: [{name: p, pid: %s}, srv, %q], ready: {within: 40ms}%s},", name, pid, arg, rest)
	}
	return b.String() + "}"
}

// A fakeManager is a service manager whose launchers tell what they do, and run no program. Like real ones, it starts what was in its folder when it read that last.
type fakeManager struct {
	folder string
	dir    *Dir

	mu     sync.Mutex
	loaded map[string]string // the text of each unit
	places map[string]*Place
	log    []string
	fail   string // the operation that fails
	late   func() // what an interrupted command has told it, and takes place with the next order
}

func (m *fakeManager) note(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	m.log = append(m.log, text)
	if m.fail != "" && strings.HasPrefix(text, m.fail) {
		return errors.New("the manager fails")
	}
	return nil
}

func (m *fakeManager) Available(context.Context) error { return nil }

func (m *fakeManager) Folder() string { return m.folder }

func (m *fakeManager) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	text, err := json.Marshal(l.Argv)
	return []service.Unit{{Path: s.Name + ".unit", Mode: 0o644, Text: string(text) + "\n"}}, err
}

func (m *fakeManager) Reload(context.Context, []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = map[string]string{}
	list, _ := filepath.Glob(filepath.Join(m.folder, "*.unit"))
	for _, at := range list {
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		m.loaded[strings.TrimSuffix(filepath.Base(at), ".unit")] = string(text)
	}
	return m.note("reload")
}

func (m *fakeManager) Start(ctx context.Context, name string) error {
	m.mu.Lock()
	if late := m.late; late != nil {
		m.late = nil
		late()
	}
	runs := m.places[name] != nil
	m.mu.Unlock()
	if runs {
		return nil
	}
	return m.Restart(ctx, name)
}

func (m *fakeManager) Restart(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.note("start %s", name); err != nil {
		return err
	}
	m.end(name)
	var argv []string
	if err := json.Unmarshal([]byte(m.loaded[name]), &argv); err != nil {
		return fmt.Errorf("start %s: no such unit", name)
	}
	var from int
	if _, err := fmt.Sscanf(argv[1], name+"@%d", &from); err != nil {
		return err
	}
	g, err := m.dir.Generation(from)
	if err != nil {
		return err
	}
	p, err := m.dir.Place(ctx, name, time.Second, nil)
	if err != nil {
		return err
	}
	m.places[name] = p
	r := Running{Generation: from, Launcher: os.Getpid(), Began: time.Now(), Tried: time.Now(), Since: time.Now(), State: supervise.Ready}
	if g.Service(name).Args[0] == "bad" {
		r.State, r.Restarts, r.Exit = supervise.Pausing, 1, "it exited with 3"
	}
	if err := os.MkdirAll(filepath.Dir(m.dir.Log(name)), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(m.dir.Log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "generation %d of %s\n", from, name)
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, p.Tell(r))
}

func (m *fakeManager) end(name string) {
	if p := m.places[name]; p != nil {
		p.Close()
		delete(m.places, name)
	}
}

func (m *fakeManager) Stop(_ context.Context, names []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		m.end(name)
	}
	return m.note("stop %s", strings.Join(names, " "))
}

// A machine has a folder of services and a manager.
type machine struct {
	t       *testing.T
	dir     *Dir
	manager *fakeManager
	change  *Change
}

func newMachine(t *testing.T) *machine {
	dir := Open(t.TempDir())
	m := &machine{t: t, dir: dir, manager: &fakeManager{folder: t.TempDir(), dir: dir, places: map[string]*Place{}}}
	m.change = &Change{Dir: dir, Open: func(*Generation) (Manager, error) { return m.manager, nil }, Event: func(string, string) {}}
	if err := dir.make(); err != nil {
		t.Fatal(err)
	}
	return m
}

// next returns the generation of a set, which follows the current one, and writes it.
func (m *machine) next(services map[string]string) (current, g *Generation) {
	m.t.Helper()
	current, err := m.dir.Current()
	if err != nil {
		m.t.Fatal(err)
	}
	number, err := m.dir.Next()
	if err != nil {
		m.t.Fatal(err)
	}
	id, err := pir.ParsePID(pid)
	if err != nil {
		m.t.Fatal(err)
	}
	g, err = New(current, number, &Making{Set: id, Text: set(services), Manager: "fake", Units: func(s *service.Service, from int) ([]service.Unit, error) {
		return m.manager.Units(s, &service.Launcher{Argv: []string{"/nuka", fmt.Sprintf("%s@%d", s.Name, from)}})
	}})
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.dir.Put(g); err != nil {
		m.t.Fatal(err)
	}
	return current, g
}

func (m *machine) apply(services map[string]string) *Result {
	m.t.Helper()
	r, err := m.tryApply(services)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *machine) tryApply(services map[string]string) (*Result, error) {
	m.t.Helper()
	current, g := m.next(services)
	return m.change.Apply(m.t.Context(), current, g)
}

// state describes the machine: the current generation, the units on disk and what runs.
func (m *machine) state() string {
	m.t.Helper()
	n, err := m.dir.Number()
	if err != nil {
		m.t.Fatal(err)
	}
	out := []string{fmt.Sprint(n)}
	list, _ := filepath.Glob(filepath.Join(m.manager.folder, "*"))
	for _, at := range list {
		text, err := os.ReadFile(at)
		if err != nil {
			m.t.Fatal(err)
		}
		out = append(out, filepath.Base(at)+" "+strings.TrimSpace(string(text)))
	}
	for name := range m.manager.places {
		r, err := m.dir.Running(name)
		if err != nil {
			m.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s@%d %s", name, r.Generation, r.State))
	}
	slices.Sort(out[1:])
	return strings.Join(out, "\n")
}

func (m *machine) want(what, want string) {
	m.t.Helper()
	if diff := cmp.Diff(want, m.state()); diff != "" {
		m.t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}
