package supervise

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/service"
)

// runs has jobs run for a time, and returns what happened.
func runs(t *testing.T, last time.Time, length, until time.Duration, every service.Timer) (log []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{begin: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		s := svc("job", func(s *service.Service) { s.Every = every })
		err := Run(ctx, []*service.Service{s}, &Options{
			Start: func(context.Context, *service.Service) (Process, error) {
				w.note("start")
				f := &fake{end: make(chan error, 2)}
				time.AfterFunc(length, func() { f.end <- nil })
				return f, nil
			},
			Last: func(*service.Service) time.Time {
				if last.IsZero() {
					return last
				}
				return w.begin.Add(last.Sub(time.Unix(0, 0)))
			},
		})
		if err != nil {
			t.Error(err)
		}
		time.Sleep(length) // the timers of fakes
		log = w.log
	})
	return log
}

// before is the time of a last run, relative to the begin.
func before(d time.Duration) time.Time { return time.Unix(0, 0).Add(-d) }

func TestJobs(t *testing.T) {
	for _, c := range []struct {
		name          string
		last          time.Time
		length, until time.Duration
		every         service.Timer
		want          []string
	}{
		{"each second", time.Time{}, 10 * time.Millisecond, 3500 * time.Millisecond, service.Timer{Interval: time.Second}, []string{"00.0 start", "01.0 start", "02.0 start", "03.0 start"}},
		{"a run is missed while another lasts", time.Time{}, 2500 * time.Millisecond, 6 * time.Second, service.Timer{Interval: time.Second}, []string{"00.0 start", "02.5 start", "05.0 start"}},
		{"missed while nothing ran, once", before(10 * time.Hour), 0, 90 * time.Minute, service.Timer{Interval: time.Hour}, []string{"00.0 start", "3600.0 start"}},
		{"missed, and skipped", before(10*time.Hour + 30*time.Minute), 0, 89 * time.Minute, service.Timer{Interval: time.Hour, Skip: true}, []string{"1800.0 start"}},
		{"the clock was put back", before(-10 * time.Hour), 0, 90 * time.Minute, service.Timer{Interval: time.Hour}, []string{"3600.0 start"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, runs(t, c.last, c.length, c.until, c.every)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	jitter := runs(t, time.Time{}, 0, time.Hour, service.Timer{Interval: time.Minute, Jitter: 30 * time.Second})
	if len(jitter) < 30 || len(jitter) > 60 || slices.Contains(jitter, "60.0 start") && slices.Contains(jitter, "120.0 start") {
		t.Errorf("with jitter: got %d runs: %v", len(jitter), jitter[:min(len(jitter), 3)])
	}
}

// TestNeeds stops a service whose need fails for good, and not one that comes after it only.
func TestNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{begin: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		no := func(s *service.Service) { s.Restart.Policy = service.RestartNo }
		set := []*service.Service{
			svc("db", no), svc("once", no),
			svc("web", func(s *service.Service) { s.After, s.Needs = []string{"db", "once"}, []string{"db", "once"} }),
			svc("other", func(s *service.Service) { s.After = []string{"db"} }),
		}
		err := Run(ctx, set, &Options{Event: w.event, Start: func(_ context.Context, s *service.Service) (Process, error) {
			f := &fake{end: make(chan error, 2)}
			switch s.Name {
			case "db":
				time.AfterFunc(10*time.Second, func() { f.end <- errors.New("exit 1") })
			case "once":
				f.end <- nil
			}
			return f, nil
		}})
		if err == nil || err.Error() != "services failed: db, web" {
			t.Errorf("got %v", err)
		}
		log := strings.Join(w.log, "\n")
		for _, want := range []string{"10.0 db failed exit 1", "10.0 web failed db, which it needs, has failed", "20.0 other ended stopped", "00.0 once ended"} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in\n%s", want, log)
			}
		}
	})
}

// TestReload passes a request on to the programs that can do it.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var mu sync.Mutex // guards fakes
		fakes := map[string]*fake{}
		reload := make(chan struct{})
		go func() {
			time.Sleep(5 * time.Second)
			reload <- struct{}{}
		}()
		set := []*service.Service{svc("a", nil), svc("b", func(s *service.Service) { s.Reload = "HUP" })}
		err := Run(ctx, set, &Options{Reload: reload, Start: func(_ context.Context, s *service.Service) (Process, error) {
			f := &fake{end: make(chan error, 2), deaf: true}
			mu.Lock()
			defer mu.Unlock()
			fakes[s.Name] = f
			return f, nil
		}})
		if err != nil || !slices.Contains(fakes["b"].signals, "HUP") || slices.Contains(fakes["a"].signals, "HUP") {
			t.Errorf("got %v, %v, %v", err, fakes["a"].signals, fakes["b"].signals)
		}
	})
}

// TestListen opens sockets, takes those that were handed over if they have the right name and address, and tells whether somebody accepts.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	path := filepath.Join(dir, "s")
	if l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil { // a socket that a dead process left
		t.Fatal(err)
	} else {
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	s := svc("web", func(s *service.Service) {
		s.Listen = []service.Socket{{Name: "http", Network: "tcp", Address: address}, {Name: "local", Network: "unix", Address: path}}
	})
	files, err := Listen(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: got %v, %v", info, err)
	}
	if _, err := Listen(s, nil); err == nil || !strings.Contains(err.Error(), "listen: http: ") {
		t.Errorf("a second time: got %v", err)
	}
	again, err := Listen(s, []Handed{{"http", files[0]}, {"local", files[1]}})
	if err != nil || again[0] != files[0] || again[1] != files[1] {
		t.Errorf("handed over: got %v, %v", again, err)
	}
	other := *s
	other.Listen = []service.Socket{{Name: "http", Network: "tcp", Address: "127.0.0.1:1"}}
	if got := take([]Handed{{"http", files[0]}}, other.Listen[0]); got != nil {
		t.Error("a socket with another address was taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for i, f := range files {
		if err := ProbeSocket(ctx, f, s.Listen[i]); err == nil || !strings.Contains(err.Error(), "accepts no connection") && ctx.Err() == nil {
			t.Errorf("%s: nobody accepts, and the check is fine: %v", s.Listen[i], err)
		}
	}
	for i, f := range files {
		l, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		if err := ProbeWith(t.Context(), s, files, service.Check{On: s.Listen[i].Name, Socket: s.Listen[i]}); err != nil {
			t.Errorf("%s: %v", s.Listen[i], err)
		}
		l.Close()
		f.Close()
	}
}
