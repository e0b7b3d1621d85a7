package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
)

// maxConfig bounds the bytes of the files of a service.
const maxConfig = 512 << 10

// config reads the files of a service: texts as they are, and other data as JSON.
func (s *Service) config(f *fields) {
	f.inner("config", func(in *fields) {
		s.Config = map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(in.rec)) {
			in.used = append(in.used, name)
			text, ok := in.rec[name].(string)
			if !ok {
				b, err := json.MarshalIndent(plain(in.rec[name]), "", "  ")
				if err != nil {
					in.fail("%.80s: %w", name, err)
				}
				text = string(b) + "\n"
			}
			s.Config[name] = text
		}
	})
}

// maxStateVersion bounds the number of a form of state.
const maxStateVersion = 1_000_000

// state reads whether a service has a folder of its own that stays: true, or {version: N} for the form that its program gives to what is in it.
func (s *Service) state(f *fields) {
	if _, isRecord := f.rec["state"].(nuon.Record); !isRecord {
		s.State, _ = field[bool](f, "state", "true, false or {version: 1}")
		return
	}
	f.inner("state", func(in *fields) {
		s.State = true
		n, ok := field[int64](in, "version", "a number")
		if ok && (n < 1 || n > maxStateVersion) {
			in.fail("version: want a number from 1 to %d", maxStateVersion)
		}
		s.StateVersion = int(n)
	})
}

// plain returns a value as package json writes it: times in nanoseconds, and sizes in bytes.
func plain(v any) any {
	switch v := v.(type) {
	case nuon.Record:
		out := map[string]any{}
		for k, item := range v {
			out[k] = plain(item)
		}
		return out
	case nuon.List:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	case nuon.Duration:
		return int64(v)
	case nuon.Filesize:
		return int64(v)
	}
	return v
}

// native reads the lines for one service manager alone.
func (s *Service) native(f *fields) {
	f.inner("native", func(managers *fields) {
		s.Native = map[string]map[string]map[string]string{}
		for _, manager := range slices.Sorted(maps.Keys(managers.rec)) {
			s.Native[manager] = map[string]map[string]string{}
			managers.inner(manager, func(sections *fields) {
				for _, section := range slices.Sorted(maps.Keys(sections.rec)) {
					lines := map[string]string{}
					s.Native[manager][section] = lines
					sections.inner(section, func(keys *fields) {
						for _, key := range slices.Sorted(maps.Keys(keys.rec)) {
							lines[key], _ = field[string](keys, key, "a text")
						}
					})
				}
			})
		}
	})
}

// checkMore checks the fields that do not concern how the program is started and stopped.
func (s *Service) checkMore() error {
	if len(s.Listen) > maxSockets {
		return fmt.Errorf("listen: more than %d sockets", maxSockets)
	}
	seen := map[string]string{}
	for _, socket := range s.Listen {
		if err := socket.check(); err != nil {
			return err
		}
		if other := seen[socket.String()]; other != "" {
			return fmt.Errorf("listen: %s and %s are the same address %s", other, socket.Name, socket)
		}
		seen[socket.String()] = socket.Name
	}
	total := 0
	for name, text := range s.Config {
		if !goodSecret().MatchString(name) {
			return fmt.Errorf("config: %.80q is no name of a file", name)
		}
		if keyLike().MatchString(strings.TrimSpace(text)) {
			return fmt.Errorf("config: %s looks like a key or a password, which everybody could read who gets the package; use secrets", name)
		}
		total += len(text)
	}
	switch {
	case total > maxConfig:
		return fmt.Errorf("config: more than %d bytes", maxConfig)
	case s.Reload != "" && !slices.Contains(Signals(), s.Reload):
		return fmt.Errorf("reload: %.80q: want one of %s", s.Reload, strings.Join(Signals(), ", "))
	case s.User != "" && !goodUser().MatchString(s.User):
		return fmt.Errorf("user: %.80q: want self, dynamic or the name of a user", s.User)
	case s.Ready.Notify && !s.Ready.IsZero():
		return errors.New("ready: want either notify or a check")
	case !s.Every.IsZero() && (s.Health != (Health{}) || !s.Ready.IsZero() || s.Ready.Notify || len(s.Listen) > 0 || s.Restart.Policy == RestartAlways):
		return errors.New("every: a job has no listen, ready and health, and is not restarted always")
	}
	return s.checkNative()
}

// checkNative checks the lines for single managers: only systemd has some, and none may start another program or replace what nuka renders.
func (s *Service) checkNative() error {
	for manager, sections := range s.Native {
		if manager != "systemd" {
			return fmt.Errorf("native: %.40q: want systemd", manager)
		}
		for section, lines := range sections {
			if section != "Unit" && section != "Service" {
				return fmt.Errorf("native: systemd: %.40q: want Unit or Service", section)
			}
			for key, value := range lines {
				if !goodKey().MatchString(key) || !isLabel(value) || strings.HasSuffix(value, "\\") {
					return fmt.Errorf("native: systemd: %.40q: want a key and a text of one line", key)
				}
				if strings.HasPrefix(key, "Exec") || slices.Contains([]string{"Type", "NotifyAccess", "Restart", "Environment", "EnvironmentFile", "User", "DynamicUser", "Sockets"}, key) {
					return fmt.Errorf("native: systemd: %s is nuka's", key)
				}
			}
		}
	}
	return nil
}
