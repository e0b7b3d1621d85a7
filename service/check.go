package service

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

var (
	goodName     = lazyregexp.New(`^[a-z0-9][a-z0-9-]{0,62}$`)
	goodCommand  = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$`)
	goodVariable = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)
	goodSocket   = lazyregexp.New(`^[a-z0-9][a-z0-9-]{0,31}$`)
	goodUser     = lazyregexp.New(`^[a-z_][a-z0-9_-]{0,30}$`)
	goodKey      = lazyregexp.New(`^[A-Z][A-Za-z]{0,60}$`)
	goodSecret   = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)
	// device matches names that Windows keeps for devices.
	device = lazyregexp.New(`^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)
	// keyLike matches texts that look like keys and passwords of services: they belong into secrets.
	keyLike = lazyregexp.New(`-----BEGIN [A-Z ]*PRIVATE KEY-----|^(gh[pousr]_|github_pat_|xox[abpr]-|sk-|glpat-|AKIA[A-Z0-9]{12})`)
	place   = lazyregexp.New(`\{[a-z]+\}`)
)

// Signals are the names of signals that stop a program.
func Signals() []string { return []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"} }

const (
	maxText = 4096 // bytes of an argument or variable
	maxList = 1000 // arguments, variables, secrets
)

// check returns what is wrong with a service.
func (s *Service) check() error {
	switch {
	case !goodName().MatchString(s.Name):
		return errors.New("want a name of lower-case letters, digits and hyphens, at most 63")
	case strings.HasPrefix(s.Name, "nuka-") || s.Name == "nuka":
		return errors.New("names that begin with nuka are nuka's own")
	case device().MatchString(s.Name):
		return errors.New("the name is one of a device on Windows")
	case !isLabel(s.Package.Name) || !isLabel(s.Package.Version):
		return errors.New("run: the name or version of the package has characters that no package has")
	case !goodCommand().MatchString(s.Command):
		return fmt.Errorf("run: %.80q is no name of a program", s.Command)
	case len(s.Args) > maxList || len(s.Env) > maxList || len(s.Secrets) > maxList || len(s.Permissions) > maxList:
		return fmt.Errorf("more than %d arguments, variables, secrets or permissions", maxList)
	case !slices.Contains([]Policy{RestartNo, RestartFailure, RestartAlways}, s.Restart.Policy):
		return fmt.Errorf("restart: when: %.80q: want no, on-failure or always", s.Restart.Policy)
	case !slices.Contains(Signals(), s.Stop.Signal):
		return fmt.Errorf("stop: signal: %.80q: want one of %s", s.Stop.Signal, strings.Join(Signals(), ", "))
	case s.Health != (Health{}) && (s.Health.IsZero() || s.Health.Fails < 1 || s.Health.Fails > 100):
		return errors.New("health: want port or http, and fails from 1 to 100")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret := s.Secrets[name]
		if !goodSecret().MatchString(name) {
			return fmt.Errorf("secrets: %.80q is no name of a file", name)
		}
		if (secret.File == "") == (len(secret.Run) == 0) {
			return fmt.Errorf("secrets: %s: want either file or run", name)
		}
		if secret.File != "" && !filepath.IsAbs(secret.File) {
			return fmt.Errorf("secrets: %s: want a whole path, not %.200q", name, secret.File)
		}
	}
	if err := s.checkMore(); err != nil {
		return err
	}
	for _, c := range []*Check{&s.Ready.Check, &s.Health.Check} {
		if err := s.onSocket(c); err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
	}
	return s.checkTexts()
}

// isLabel reports whether a text can stand in one line of a unit.
func isLabel(text string) bool {
	return len(text) <= 200 && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkTexts checks arguments and variables.
func (s *Service) checkTexts() error {
	all := slices.Clone(s.Args)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		value := s.Env[name]
		if !goodVariable().MatchString(name) {
			return fmt.Errorf("env: %.80q is no name of a variable", name)
		}
		all = append(all, value)
	}
	for _, text := range all {
		switch {
		case len(text) > maxText || strings.ContainsRune(text, 0):
			return fmt.Errorf("an argument or variable has more than %d bytes, or a zero byte", maxText)
		case keyLike().MatchString(text):
			return errors.New("an argument or variable looks like a key or a password, which everybody could read who gets the package; use secrets, and CREDENTIALS_DIRECTORY")
		}
		if _, err := s.expand(text, Folders{}); err != nil {
			return err
		}
	}
	return nil
}

func (c Check) check() error {
	if c.HTTP == "" || c.On != "" {
		return nil
	}
	u, err := url.Parse(c.HTTP)
	if c.Port != 0 || err != nil || u.Scheme != "http" || u.User != nil || !slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()) {
		return fmt.Errorf("http: %.200q: want an address of this machine such as http://127.0.0.1:8080/, and no port beside it", c.HTTP)
	}
	return nil
}

// Expand returns the arguments and variables of a service with the paths of its folders in the place of {state}, {cache} and so on.
func (s *Service) Expand(f Folders) (args, env []string, err error) {
	for _, text := range s.Args {
		if text, err = s.expand(text, f); err != nil {
			return nil, nil, err
		}
		args = append(args, text)
	}
	for name, text := range s.Env {
		if text, err = s.expand(text, f); err != nil {
			return nil, nil, err
		}
		env = append(env, name+"="+text)
	}
	slices.Sort(env)
	return args, append(env, f.Vars()...), nil
}

func (s *Service) expand(text string, f Folders) (string, error) {
	var err error
	has := map[string]bool{
		"{state}": s.State, "{cache}": s.Cache, "{logs}": s.Logs, "{runtime}": s.Runtime, "{config}": len(s.Config) > 0, "{credentials}": len(s.Secrets) > 0,
	}
	at := map[string]string{"{state}": f.State, "{cache}": f.Cache, "{logs}": f.Logs, "{runtime}": f.Runtime, "{config}": f.Config, "{credentials}": f.Credentials}
	out := place().ReplaceAllStringFunc(text, func(p string) string {
		there, known := has[p]
		if known && !there && err == nil {
			err = fmt.Errorf("%.200q names %s, which the service does not have: set state, cache, logs, runtime, config or secrets", text, p)
		}
		if !known {
			return p
		}
		return at[p]
	})
	return out, err
}

// checkSet returns what is wrong between services.
func checkSet(all []*Service) error {
	byName, ports, sockets := map[string]*Service{}, map[int]string{}, map[string]string{}
	for _, s := range all {
		byName[s.Name] = s
		if p := s.Ready.Port; p != 0 {
			if other := ports[p]; other != "" {
				return fmt.Errorf("services %s and %s are both ready on port %d", other, s.Name, p)
			}
			ports[p] = s.Name
		}
		for _, socket := range s.Listen {
			key := socket.String()
			if at, err := netip.ParseAddrPort(socket.Address); err == nil && at.Addr().IsUnspecified() {
				key = fmt.Sprint(":", at.Port())
			}
			if other := sockets[key]; other != "" {
				return fmt.Errorf("services %s and %s both listen at %s", other, s.Name, socket)
			}
			sockets[key] = s.Name
		}
	}
	_, err := Order(all)
	return err
}

// Order returns services so that each comes after those of its field after. It is an error if a service waits for itself, or for one that is not there.
func Order(all []*Service) ([]*Service, error) {
	byName := map[string]*Service{}
	for _, s := range all {
		byName[s.Name] = s
	}
	var out []*Service
	state := map[string]int{} // 1: being visited, 2: done
	var visit func(s *Service, way []string) error
	visit = func(s *Service, way []string) error {
		way = append(way, s.Name)
		switch state[s.Name] {
		case 1:
			return fmt.Errorf("services wait for one another: %s", strings.Join(way, " after "))
		case 2:
			return nil
		}
		state[s.Name] = 1
		for _, name := range s.After {
			other := byName[name]
			if other == nil {
				return fmt.Errorf("service %s: after: there is no service %.80q", s.Name, name)
			}
			if err := visit(other, way); err != nil {
				return err
			}
		}
		state[s.Name] = 2
		out = append(out, s)
		return nil
	}
	for _, s := range all {
		if err := visit(s, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}
