package service

import (
	"fmt"
	"strings"
)

// systemdWord quotes a word of ExecStart or Environment (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").
func systemdWord(word string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range word {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '%':
			b.WriteString("%%")
		default:
			if r < ' ' {
				fmt.Fprintf(&b, `\x%02x`, r)
				continue
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// systemd renders a unit of Type=notify: the launcher tells when the program is ready. It restarts the program itself, so that the manager never gives up.
func systemd(s *Service, l *Launcher) []Unit {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\n", strings.ReplaceAll(description(s), "%", "%%"))
	for _, name := range s.After {
		fmt.Fprintf(&b, "After=nuka-%s.service\nWants=nuka-%[1]s.service\n", name)
	}
	b.WriteString("StartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\n")
	for _, pair := range l.Env {
		fmt.Fprintf(&b, "Environment=%s\n", systemdWord(pair))
	}
	words := make([]string, len(l.Argv))
	for i, w := range l.Argv {
		words[i] = systemdWord(strings.ReplaceAll(w, "$", "$$")) // variables are put in only here
	}
	fmt.Fprintf(&b, "ExecStart=%s\n", strings.Join(words, " "))
	// The launcher ends with 7 when its service has failed for good. It counts its own time limits, and answers SIGTERM after it has stopped the program.
	fmt.Fprintf(&b, "TimeoutStartSec=infinity\nTimeoutStopSec=%d\nKillMode=mixed\nRestart=on-failure\nRestartSec=1\nRestartPreventExitStatus=7\n\n[Install]\n", int(s.Stop.Within.Seconds())+5)
	target := "multi-user.target"
	if l.User {
		target = "default.target"
	}
	fmt.Fprintf(&b, "WantedBy=%s\n", target)
	return []Unit{{Path: unitName(s) + ".service", Mode: 0o644, Text: b.String()}}
}
