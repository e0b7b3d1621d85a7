package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/service"
)

// A fake is a program of a service that ends as its plan says.
type fake struct {
	end     chan error
	signals []string
	deaf    bool // it does not end by signals
}

func (f *fake) Wait() error { return <-f.end }

func (f *fake) Signal(name string) error {
	f.signals = append(f.signals, name)
	if !f.deaf {
		f.end <- errors.New("ended by " + name)
	}
	return nil
}

func (f *fake) Kill() error {
	f.signals = append(f.signals, "KILL")
	f.end <- errors.New("killed")
	return nil
}

// world notes what happens, with the seconds since its begin.
type world struct {
	begin time.Time
	mu    sync.Mutex
	log   []string
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%04.1f ", time.Since(w.begin).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) event(e Event) {
	w.note("%s", strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Service.Name, e.State, e.Text)))
}

func svc(name string, change func(*service.Service)) *service.Service {
	s := &service.Service{
		Name: name, Ready: service.Ready{Within: 30 * time.Second}, Restart: service.Restart{Policy: service.RestartFailure, Delay: time.Second},
		Stop: service.Stop{Signal: "TERM", Within: 10 * time.Second},
	}
	if change != nil {
		change(s)
	}
	return s
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   []*service.Service
		start func(w *world, n int, s *service.Service) (Process, error) // n is how often s was started before
		check func(w *world, c service.Check) error
		until time.Duration
		want  []string // sorted; events of one moment have no order
		err   string
	}{
		{
			name: "order, and stop in the reverse order",
			set:  []*service.Service{svc("a", func(s *service.Service) { s.After = []string{"b"} }), svc("b", nil)},
			start: func(*world, int, *service.Service) (Process, error) {
				return &fake{end: make(chan error, 1)}, nil
			},
			until: 10 * time.Second,
			want: []string{
				"00.0 a waiting for b", "00.0 b starting", "02.0 a starting", "02.0 b ready", "04.0 a ready", "10.0 a ended stopped", "10.0 a stopping", "10.0 b ended stopped", "10.0 b stopping",
			},
		},
		{
			name: "restarts with longer delays",
			set:  []*service.Service{svc("a", nil)},
			start: func(_ *world, n int, _ *service.Service) (Process, error) {
				f := &fake{end: make(chan error, 1)}
				if n < 3 {
					f.end <- errors.New("exit 1")
				}
				return f, nil
			},
			until: 20 * time.Second,
			want: []string{
				"00.0 a pausing exit 1; it is started again in 1s", "00.0 a starting", "01.0 a pausing exit 1; it is started again in 2s", "01.0 a starting",
				"03.0 a pausing exit 1; it is started again in 4s", "03.0 a starting", "07.0 a starting", "09.0 a ready", "20.0 a ended stopped", "20.0 a stopping",
			},
		},
		{
			name: "not ready in time, deaf to signals, and no restart",
			set: []*service.Service{svc("a", func(s *service.Service) {
				s.Ready = service.Ready{Check: service.Check{Port: 1}, Within: 3 * time.Second}
				s.Restart.Policy = service.RestartNo
			}), svc("b", func(s *service.Service) { s.After = []string{"a"} })},
			start: func(*world, int, *service.Service) (Process, error) {
				return &fake{end: make(chan error, 1), deaf: true}, nil
			},
			check: func(*world, service.Check) error { return errors.New("refused") },
			until: time.Minute,
			want: []string{
				"00.0 a starting", "00.0 b waiting for a", "03.0 a stopping it was not ready in 3s: refused", "13.0 a failed it was not ready in 3s: refused", "13.0 a stopping it does not end in 10s, and is killed",
				"13.0 b failed a was never ready",
			},
			err: "services failed: a, b",
		},
		{
			name: "health",
			set: []*service.Service{svc("a", func(s *service.Service) {
				s.Ready = service.Ready{Check: service.Check{Port: 1}, Within: 3 * time.Second}
				s.Health = service.Health{Check: service.Check{Port: 2}, Every: 5 * time.Second, Fails: 2}
			})},
			start: func(*world, int, *service.Service) (Process, error) { return &fake{end: make(chan error, 1)}, nil },
			check: func(w *world, c service.Check) error {
				if c.Port == 2 && time.Since(w.begin) > 8*time.Second && time.Since(w.begin) < 16*time.Second {
					return errors.New("no answer")
				}
				return nil
			},
			until: 18 * time.Second,
			want: []string{
				"00.0 a starting", "00.1 a ready", "10.1 a sick no answer", "15.1 a pausing 2 health checks failed: no answer; it is started again in 1s",
				"15.1 a stopping 2 health checks failed: no answer", "16.1 a starting", "16.2 a ready", "18.0 a ended stopped", "18.0 a stopping",
			},
		},
		{
			name: "a program that does one thing",
			set:  []*service.Service{svc("a", nil), svc("b", func(s *service.Service) { s.After = []string{"a"} })},
			start: func(*world, int, *service.Service) (Process, error) {
				f := &fake{end: make(chan error, 1)}
				f.end <- nil
				return f, nil
			},
			until: time.Minute,
			want:  []string{"00.0 a ended", "00.0 a starting", "00.0 b ended", "00.0 b starting", "00.0 b waiting for a"},
		},
		{
			name:  "it cannot start",
			set:   []*service.Service{svc("a", func(s *service.Service) { s.Restart.Policy = service.RestartNo })},
			start: func(*world, int, *service.Service) (Process, error) { return nil, errors.New("no such program") },
			until: time.Minute,
			want:  []string{"00.0 a failed start: no such program", "00.0 a starting"},
			err:   "services failed: a",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{begin: time.Now()}
				starts := map[string]int{}
				ctx, cancel := context.WithTimeout(t.Context(), c.until)
				defer cancel()
				o := &Options{Event: w.event, Start: func(_ context.Context, s *service.Service) (Process, error) {
					w.mu.Lock()
					n := starts[s.Name]
					starts[s.Name]++
					w.mu.Unlock()
					return c.start(w, n, s)
				}}
				if c.check != nil {
					o.Check = func(_ context.Context, check service.Check) error { return c.check(w, check) }
				}
				err := Run(ctx, c.set, o)
				if got := fmt.Sprint(err); c.err == "" && err != nil || c.err != "" && got != c.err {
					t.Errorf("got %v, want %q", err, c.err)
				}
				if diff := cmp.Diff(c.want, slices.Sorted(slices.Values(w.log))); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

func TestProbe(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for code, fine := range map[int]bool{200: true, 302: true, 404: false, 503: false} {
		status = code
		if err := Probe(t.Context(), service.Check{HTTP: s.URL + "/"}); (err == nil) != fine {
			t.Errorf("%d: got %v", code, err)
		}
	}
	if err := Probe(t.Context(), service.Check{Port: port}); err != nil {
		t.Error(err)
	}
	s.Close()
	for _, c := range []service.Check{{Port: port}, {HTTP: s.URL}} {
		if err := Probe(t.Context(), c); err == nil {
			t.Errorf("%v: nobody answers, and the check is fine", c)
		}
	}
}

// TestHangingCheck asks programs that accept connections and answer nothing: the deadline holds, and the end of a program is seen at once.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{begin: time.Now()}
		asked := func(s *service.Service) {
			s.Ready = service.Ready{Check: service.Check{Port: 1}, Within: 3 * time.Second}
			s.Restart.Policy = service.RestartNo
		}
		err := Run(t.Context(), []*service.Service{svc("late", asked), svc("short", asked)}, &Options{
			Event: w.event,
			Start: func(_ context.Context, s *service.Service) (Process, error) {
				f := &fake{end: make(chan error, 1)}
				if s.Name == "short" {
					time.AfterFunc(time.Second, func() { f.end <- errors.New("exit 1") })
				}
				return f, nil
			},
			Check: func(ctx context.Context, _ service.Check) error {
				<-ctx.Done()
				return errors.New("no answer")
			},
		})
		if err == nil {
			t.Error("no error")
		}
		want := []string{
			"00.0 late starting", "00.0 short starting", "01.0 short failed exit 1", "03.0 late failed it was not ready in 3s: no answer", "03.0 late stopping it was not ready in 3s: no answer",
		}
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(w.log))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
