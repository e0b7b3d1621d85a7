package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// MaxFile bounds the bytes of a set.
const MaxFile = 1 << 20

// Decode reads a set of services, sorted by name. Its errors name the service and the field.
func Decode(text []byte) ([]*Service, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("services: the set has more than %d bytes", MaxFile)
	}
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return nil, errors.New("services: want a record of services by their names")
	}
	var all []*Service
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		one, ok := rec[name].(nuon.Record)
		if !ok {
			return nil, fmt.Errorf("service %.80q: want a record", name)
		}
		s, err := decode(name, one)
		if err == nil {
			err = s.check()
		}
		if err != nil {
			return nil, fmt.Errorf("service %.80q: %w", name, err)
		}
		all = append(all, s)
	}
	return all, checkSet(all)
}

// fields takes the fields of a record, and keeps the first error.
type fields struct {
	at   string // of the record, with a colon and a space at the end; may be empty
	rec  nuon.Record
	used []string
	err  error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(f.at+format, args...)
	}
}

// field takes a value; ok is false if there is none.
func field[T any](f *fields, name, want string) (v T, ok bool) {
	f.used = append(f.used, name)
	raw, there := f.rec[name]
	if !there || raw == nil {
		return v, false
	}
	if v, ok = raw.(T); !ok {
		f.fail("%s: want %s", name, want)
	}
	return v, ok
}

func (f *fields) end() error {
	if f.err != nil {
		return f.err
	}
	for _, name := range slices.Sorted(maps.Keys(f.rec)) {
		if !slices.Contains(f.used, name) {
			slices.Sort(f.used)
			return fmt.Errorf("%sthere is no field %.80q; the fields are %s", f.at, name, strings.Join(f.used, ", "))
		}
	}
	return nil
}

func (f *fields) texts(name string) (out []string) {
	list, _ := field[nuon.List](f, name, "a list of texts")
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			f.fail("%s: want a list of texts", name)
		}
		out = append(out, text)
	}
	return out
}

// inner takes a record and calls fn with its fields.
func (f *fields) inner(name string, fn func(*fields)) {
	rec, ok := field[nuon.Record](f, name, "a record")
	if !ok {
		return
	}
	in := &fields{at: f.at + name + ": ", rec: rec}
	fn(in)
	if err := in.end(); err != nil && f.err == nil {
		f.err = err
	}
}

// duration takes a time, which must be positive.
func (f *fields) duration(name string, or time.Duration) time.Duration {
	d, ok := field[nuon.Duration](f, name, "a time such as 10sec")
	if !ok {
		return or
	}
	if d <= 0 || time.Duration(d) > 24*time.Hour {
		f.fail("%s: want a time of more than 0 and at most a day", name)
	}
	return time.Duration(d)
}

// decode reads one service.
func decode(name string, rec nuon.Record) (*Service, error) {
	s := &Service{
		Name: name, Env: map[string]string{}, Secrets: map[string]Secret{}, Ready: Ready{Within: 30 * time.Second}, Restart: Restart{RestartFailure, time.Second},
		Stop: Stop{"TERM", 10 * time.Second},
	}
	f := &fields{rec: rec}
	s.run(f)
	f.inner("env", func(in *fields) {
		for _, k := range slices.Sorted(maps.Keys(in.rec)) {
			s.Env[k], _ = field[string](in, k, "a text")
		}
	})
	f.inner("secrets", func(in *fields) {
		for _, k := range slices.Sorted(maps.Keys(in.rec)) {
			in.inner(k, func(one *fields) {
				secret := Secret{Run: one.texts("run")}
				secret.File, _ = field[string](one, "file", "a path")
				s.Secrets[k] = secret
			})
		}
	})
	s.state(f)
	s.Cache, _ = field[bool](f, "cache", "true or false")
	s.Logs, _ = field[bool](f, "logs", "true or false")
	s.Runtime, _ = field[bool](f, "runtime", "true or false")
	s.config(f)
	s.native(f)
	s.Permissions, s.After, s.Needs = f.texts("permissions"), f.texts("after"), f.texts("needs")
	for _, name := range s.Needs {
		if !slices.Contains(s.After, name) {
			s.After = append(s.After, name)
		}
	}
	s.listen(f)
	s.limits(f)
	s.every(f)
	s.Reload, _ = field[string](f, "reload", "the name of a signal, such as HUP")
	s.User, _ = field[string](f, "user", "self, dynamic or the name of a user")
	if s.User == "self" {
		s.User = ""
	}
	f.inner("ready", func(in *fields) {
		s.Ready.Check = in.check()
		s.Ready.Notify, _ = field[bool](in, "notify", "true or false")
		s.Ready.Within = in.duration("within", s.Ready.Within)
	})
	f.inner("health", func(in *fields) {
		s.Health = Health{Check: in.check(), Every: in.duration("every", 30*time.Second), Fails: 3}
		if n, ok := field[int64](in, "fails", "a number"); ok {
			s.Health.Fails = int(n)
		}
	})
	f.inner("restart", func(in *fields) {
		if p, ok := field[string](in, "when", "no, on-failure or always"); ok {
			s.Restart.Policy = Policy(p)
		}
		s.Restart.Delay = in.duration("delay", s.Restart.Delay)
	})
	f.inner("stop", func(in *fields) {
		if sig, ok := field[string](in, "signal", "the name of a signal, such as TERM"); ok {
			s.Stop.Signal = sig
		}
		s.Stop.Within = in.duration("within", s.Stop.Within)
	})
	return s, f.end()
}

func (f *fields) check() (c Check) {
	if n, ok := field[int64](f, "port", "a number"); ok {
		if n < 1 || n > 65535 {
			f.fail("port: want a number from 1 to 65535")
		}
		c.Port = int(n)
	}
	c.HTTP, _ = field[string](f, "http", "an address, or a path")
	c.On, _ = field[string](f, "on", "the name of a socket")
	return c
}

// run reads the package, the command and the arguments.
func (s *Service) run(f *fields) {
	const want = "run: want [(PACKAGE) COMMAND ARGUMENT…]"
	list, ok := field[nuon.List](f, "run", "a list")
	if !ok || len(list) < 2 {
		f.fail(want)
		return
	}
	pkg, ok := list[0].(nuon.Record)
	if !ok {
		f.fail(want + "; the first item is no package")
		return
	}
	in := &fields{at: "run: the package: ", rec: pkg}
	text, _ := field[string](in, "pid", "a PID")
	s.Package.Name, _ = field[string](in, "name", "a name")
	s.Package.Version, _ = field[string](in, "version", "a version")
	id, err := pir.ParsePID(text)
	if err != nil {
		in.fail("%w", err)
	}
	s.Package.PID = id
	if err := in.end(); err != nil {
		f.fail("%w", err)
	}
	for i, v := range list[1:] {
		text, ok := v.(string)
		switch {
		case !ok:
			f.fail("run: item %d is no text", i+2)
		case i == 0:
			s.Command = text
		default:
			s.Args = append(s.Args, text)
		}
	}
}
