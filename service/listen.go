package service

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir/nuon"
)

// A Socket is a listening socket that is opened for a program, which gets no other network by it. The program finds it as one of its descriptors from 3 on
// (sd_listen_fds(3)), and it stays open while the program is started again.
type Socket struct {
	Name string
	// Network is "tcp" or "unix". Address is an IP address with a port, or a whole path.
	Network, Address string
}

func (s Socket) String() string {
	if s.Network == "unix" {
		return "unix:" + s.Address
	}
	return s.Address
}

// Local returns the address by which this machine reaches the socket: loopback, if it listens on all addresses.
func (s Socket) Local() string {
	at, err := netip.ParseAddrPort(s.Address)
	switch {
	case err != nil || !at.Addr().IsUnspecified():
		return s.Address
	case at.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String()
}

// maxSockets is how many sockets a service may have.
const maxSockets = 32

func (s *Service) listen(f *fields) {
	f.inner("listen", func(in *fields) {
		for _, name := range slices.Sorted(maps.Keys(in.rec)) {
			text, _ := field[string](in, name, "an address such as 127.0.0.1:8080")
			one := Socket{Name: name, Network: "tcp", Address: text}
			if path, ok := strings.CutPrefix(text, "unix:"); ok {
				one.Network, one.Address = "unix", path
			}
			s.Listen = append(s.Listen, one)
		}
	})
}

// check returns what is wrong with a socket.
func (s Socket) check() error {
	if !goodSocket().MatchString(s.Name) {
		return fmt.Errorf("listen: %.80q: want a name of lower-case letters, digits and hyphens, at most 32", s.Name)
	}
	if s.Network == "unix" {
		if !filepath.IsAbs(s.Address) || filepath.Clean(s.Address) != s.Address || len(s.Address) > 100 || !isLabel(s.Address) {
			return fmt.Errorf("listen: %s: %.200q is no whole path of at most 100 bytes", s.Name, s.Address)
		}
		return nil
	}
	at, err := netip.ParseAddrPort(s.Address)
	if err != nil || at.Port() == 0 || at.String() != s.Address || at.Addr().Is4In6() || at.Addr().Zone() != "" {
		return fmt.Errorf("listen: %s: %.200q: want an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, or unix:/PATH", s.Name, s.Address)
	}
	return nil
}

// socket returns the socket of a name, or nil.
func (s *Service) socket(name string) *Socket {
	for i := range s.Listen {
		if s.Listen[i].Name == name {
			return &s.Listen[i]
		}
	}
	return nil
}

// onSocket completes checks over sockets, and returns what is wrong with them. The socket of an HTTP check with a path alone is the one named http, or the only one.
func (s *Service) onSocket(c *Check) error {
	if strings.HasPrefix(c.HTTP, "/") && c.On == "" {
		switch {
		case s.socket("http") != nil:
			c.On = "http"
		case len(s.Listen) == 1:
			c.On = s.Listen[0].Name
		default:
			return fmt.Errorf("http: %.200q is a path: name the socket of listen that answers: on: NAME", c.HTTP)
		}
	}
	switch {
	case c.On == "":
		return nil
	case s.socket(c.On) == nil:
		return fmt.Errorf("on: there is no socket %.80q in listen", c.On)
	case c.Port != 0 || c.HTTP != "" && (!strings.HasPrefix(c.HTTP, "/") || !isLabel(c.HTTP)):
		return fmt.Errorf("on: %s: want http: with a path such as /, and no port beside it", c.On)
	}
	c.Socket = *s.socket(c.On)
	return nil
}

// Limits are those of a program and all that it starts. A zero field is no limit.
type Limits struct {
	Memory int64 // bytes
	Tasks  int   // processes and threads
	Files  int   // open files of one process
	CPU    int   // percent of one processor
}

// MinMemory is the smallest limit of memory.
const MinMemory = 1 << 20

func (s *Service) limits(f *fields) {
	f.inner("limits", func(in *fields) {
		if n, ok := field[nuon.Filesize](in, "memory", "a size such as 128mb"); ok {
			if s.Limits.Memory = int64(n); s.Limits.Memory < MinMemory {
				in.fail("memory: want at least 1mb")
			}
		}
		count := func(name string, least, most int64) int {
			n, ok := field[int64](in, name, "a number")
			if ok && (n < least || n > most) {
				in.fail("%s: want a number from %d to %d", name, least, most)
			}
			return int(n)
		}
		s.Limits.Tasks, s.Limits.Files = count("tasks", 1, 1<<20), count("files", 64, 1<<20)
		if text, ok := field[string](in, "cpu", `a share of one processor such as "50%"`); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
			if err != nil || !strings.HasSuffix(text, "%") || n < 1 || n > 100_000 {
				in.fail("cpu: %.40q: want a share of one processor such as \"50%%\"; two processors are \"200%%\"", text)
			}
			s.Limits.CPU = n
		}
	})
}

// A Timer says when a job is started: a program that does one thing, and ends. Its zero value: at once, and it keeps running.
type Timer struct {
	Calendar Calendar
	Interval time.Duration
	Jitter   time.Duration // a random time up to this comes before each run
	Skip     bool          // what was missed while nothing was running is not made up for
}

// IsZero reports whether there is no timer.
func (t Timer) IsZero() bool { return t.Interval == 0 && t.Calendar.IsZero() }

// Next returns when a job is due whose last run began at last, at a time now. A run that was missed is due at once, unless it is to be skipped. A zero last is a job that
// never ran: with an interval it is due at once, and with a calendar at its next time. If the clock was turned back to before the last run, the last run counts as now.
func (t Timer) Next(last, now time.Time) time.Time {
	if last.After(now) {
		last = now
	}
	from := last
	if last.IsZero() {
		if t.Interval > 0 && !t.Skip {
			return now
		}
		from = now
	}
	due := from.Add(t.Interval)
	if t.Interval == 0 {
		due = t.Calendar.Next(from)
	}
	if due.Before(now) && t.Skip {
		if t.Interval == 0 {
			return t.Calendar.Next(now)
		}
		return due.Add(now.Sub(due).Truncate(t.Interval) + t.Interval)
	}
	return due
}

func (s *Service) every(f *fields) {
	f.inner("every", func(in *fields) {
		text, has := field[string](in, "calendar", `a text such as "03:00" or "mon,fri 03:00"`)
		if has {
			var err error
			if s.Every.Calendar, err = ParseCalendar(text); err != nil {
				in.fail("calendar: %w", err)
			}
		}
		s.Every.Interval = in.duration("interval", 0)
		s.Every.Jitter = in.duration("jitter", 0)
		if missed, ok := field[string](in, "missed", "run or skip"); ok {
			s.Every.Skip = missed == "skip"
			if missed != "skip" && missed != "run" {
				in.fail("missed: %.80q: want run or skip", missed)
			}
		}
		if has == (s.Every.Interval > 0) {
			in.fail("want either calendar or interval")
		}
		if i := s.Every.Interval; i > 0 && (i < time.Second || s.Every.Jitter >= i) {
			in.fail("want an interval of at least a second, and a shorter jitter")
		}
	})
}
