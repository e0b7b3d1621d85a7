package service

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// A Launcher is the command that a unit starts: it waits for nuka's node, starts the program of the service, and does what the manager does not. A unit has
// nothing of the program itself, so what must be quoted is in the launcher's hands only.
type Launcher struct {
	Argv []string // the first is a whole path
	// Env are variables that the command needs, such as NUKA_HOME, sorted.
	Env []string
	// User renders for the manager of a user, where it has both.
	User bool
}

// OneRun is the variable by which a service manager that keeps the times of a job has the launcher run it once.
const OneRun = "NUKA_ONE_RUN"

// A Unit is a file of a service manager.
type Unit struct {
	Path string // relative to the folder of the manager, with slashes
	Mode uint32
	Text string
}

// A manager renders a service.
type manager struct {
	name   string
	render func(s *Service, l *Launcher) []Unit
	// timers says that it starts jobs itself. Elsewhere the launcher keeps their times.
	timers bool
	// users says that it makes the user dynamic.
	users bool
	// cannot names the fields that it cannot fulfil; nil: it can all.
	cannot func(s *Service, l *Launcher) []string
}

// Windows is the name of the service control manager of Windows, which has only services of the machine.
const Windows = "windows"

var managers = []manager{
	{name: "systemd", render: systemd, timers: true, users: true}, {name: "launchd", render: launchd, timers: true}, {name: "openrc", render: openrc},
	{name: "runit", render: runit}, {name: "s6", render: s6}, {name: "rc.d", render: rcd}, {name: Windows, render: scm, users: true, cannot: scmCannot},
}

// Managers returns the names of the service managers that Units knows.
func Managers() []string {
	var names []string
	for _, m := range managers {
		names = append(names, m.name)
	}
	return names
}

// KeepsTimes reports whether a service manager starts jobs at their times itself, so that no launcher waits between two runs.
func KeepsTimes(manager string) bool {
	for _, m := range managers {
		if m.name == manager {
			return m.timers
		}
	}
	return false
}

// Units renders a service for a service manager. The first line of each file that may be a comment says what the file was when nuka wrote it: see Written.
func Units(manager string, s *Service, l *Launcher) ([]Unit, error) {
	for _, m := range managers {
		if m.name == manager {
			if s.User != "" && l.User {
				return nil, fmt.Errorf("service %s: user: the manager of a user runs all as this user; want the manager of the machine", s.Name)
			}
			if s.User == UserDynamic && !m.users {
				return nil, fmt.Errorf("service %s: user: %s makes no users; name one", s.Name, manager)
			}
			if manager == Windows && l.User {
				return nil, fmt.Errorf("service %s: Windows has no manager of a user; want the manager of the machine", s.Name)
			}
			if m.cannot != nil {
				if fields := m.cannot(s, l); len(fields) > 0 {
					return nil, fmt.Errorf("service %s: %s has nothing for: %s", s.Name, manager, strings.Join(fields, ", "))
				}
			}
			if m.timers && !s.Every.IsZero() {
				timed := *l
				timed.Env = append(slices.Clone(l.Env), OneRun+"=1")
				l = &timed
			}
			units := m.render(s, l)
			for i := range units {
				units[i].Text = marked(units[i].Text)
			}
			return units, nil
		}
	}
	return nil, fmt.Errorf("there is no service manager %.40q; the managers are %s", manager, strings.Join(Managers(), ", "))
}

const mark = "# nuka "

// marked puts the hash of a text into it: into a comment behind its first line if that is one, and else before it. A file of XML or of one word stays as it is.
func marked(text string) string {
	first, rest, ok := strings.Cut(text, "\n")
	switch {
	case strings.HasPrefix(text, "<") || !ok || rest == "" && !strings.HasPrefix(first, "#"):
		return text
	case strings.HasPrefix(first, "#!"):
		return first + "\n" + mark + digest(text) + "\n" + rest
	}
	return mark + digest(text) + "\n" + text
}

func digest(text string) string {
	sum := blake3.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Written reports whether a file is as nuka wrote it. A file without nuka's mark is not.
func Written(text string) bool {
	lines := strings.SplitAfterN(text, "\n", 3)
	for i, line := range lines[:min(2, len(lines)-1)] {
		if sum, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), mark); ok {
			return digest(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")) == sum
		}
	}
	return false
}

// unitName is the name of a service in its manager: nobody else's service has it.
func unitName(s *Service) string { return "nuka-" + s.Name }

// sh quotes a word for a shell of POSIX.
func sh(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func shWords(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, sh(w))
	}
	return strings.Join(out, " ")
}

func exports(env []string) string {
	var b strings.Builder
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, sh(value))
	}
	return b.String()
}

func description(s *Service) string {
	return strings.TrimSpace(s.Package.Name+" "+s.Package.Version) + " as the service " + s.Name + " of nuka"
}
