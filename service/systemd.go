package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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

func systemdText(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// Allowances of a unit for the launcher itself, which lives beside the program.
const (
	launcherMemory = 256 << 20
	launcherTasks  = 128
)

// systemd renders a unit of Type=notify: the launcher tells when the program is ready. It restarts the program itself, so that the manager never gives up.
// The sockets are units of their own, which stay while the service is restarted, and go when it is stopped. A job is a oneshot with a timer.
func systemd(s *Service, l *Launcher) []Unit {
	var b strings.Builder
	name, job := unitName(s), !s.Every.IsZero()
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\n", systemdText(description(s)))
	for _, other := range s.After {
		fmt.Fprintf(&b, "After=nuka-%s.service\nWants=nuka-%[1]s.service\n", other)
	}
	for _, other := range s.Needs {
		fmt.Fprintf(&b, "Requires=nuka-%s.service\n", other)
	}
	for _, socket := range s.Listen {
		fmt.Fprintf(&b, "Requires=%s\nAfter=%[1]s\n", socketUnit(s, socket))
	}
	b.WriteString("StartLimitIntervalSec=0\n")
	b.WriteString(nativeLines(s, "Unit"))
	b.WriteString("\n[Service]\n")
	if job {
		b.WriteString("Type=oneshot\n")
	} else {
		b.WriteString("Type=notify\nNotifyAccess=main\n")
	}
	for _, pair := range l.Env {
		fmt.Fprintf(&b, "Environment=%s\n", systemdWord(pair))
	}
	words := make([]string, len(l.Argv))
	for i, w := range l.Argv {
		words[i] = systemdWord(strings.ReplaceAll(w, "$", "$$")) // variables are put in only here
	}
	fmt.Fprintf(&b, "ExecStart=%s\n", strings.Join(words, " "))
	if s.Reload != "" {
		b.WriteString("ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n")
	}
	for _, socket := range s.Listen {
		fmt.Fprintf(&b, "Sockets=%s\n", socketUnit(s, socket))
	}
	switch {
	case s.User == UserDynamic:
		b.WriteString("DynamicUser=yes\n")
	case s.User != "":
		fmt.Fprintf(&b, "User=%s\n", s.User)
	}
	if n := s.Limits.Memory; n > 0 {
		fmt.Fprintf(&b, "MemoryMax=%d\n", n+launcherMemory)
	}
	if n := s.Limits.Tasks; n > 0 {
		fmt.Fprintf(&b, "TasksMax=%d\n", n+launcherTasks)
	}
	if n := s.Limits.CPU; n > 0 {
		fmt.Fprintf(&b, "CPUQuota=%d%%\n", n)
	}
	// The launcher ends with 7 when its service has failed for good. It counts its own time limits, and answers SIGTERM after it has stopped the program.
	fmt.Fprintf(&b, "TimeoutStartSec=infinity\nTimeoutStopSec=%d\nKillMode=mixed\n", int(s.Stop.Within.Seconds())+5)
	if !job {
		b.WriteString("Restart=on-failure\nRestartSec=1\nRestartPreventExitStatus=7\n")
	}
	b.WriteString(nativeLines(s, "Service"))
	target := "multi-user.target"
	if l.User {
		target = "default.target"
	}
	if !job {
		fmt.Fprintf(&b, "\n[Install]\nWantedBy=%s\n", target)
	}
	units := []Unit{{Path: name + ".service", Mode: 0o644, Text: b.String()}}
	for _, socket := range s.Listen {
		units = append(units, Unit{Path: socketUnit(s, socket), Mode: 0o644, Text: fmt.Sprintf(
			"[Unit]\nDescription=%s\n# It goes when the service is stopped, and stays while the service is restarted.\nStopWhenUnneeded=yes\n\n[Socket]\nListenStream=%s\nFileDescriptorName=%s\nService=%s.service\n%s",
			systemdText("the socket "+socket.Name+" of "+s.Name), systemdText(socket.Address), socket.Name, name, map[string]string{"unix": "SocketMode=0600\n"}[socket.Network])})
	}
	if job {
		units = append(units, Unit{Path: name + ".timer", Mode: 0o644, Text: systemdTimer(s)})
	}
	return units
}

// socketUnit is the name of the unit of a socket. No other has it: the name of a service has no dot.
func socketUnit(s *Service, socket Socket) string {
	return unitName(s) + "." + socket.Name + ".socket"
}

func nativeLines(s *Service, section string) string {
	var b strings.Builder
	lines := s.Native["systemd"][section]
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s=%s\n", key, lines[key])
	}
	return b.String()
}

// systemdTimer renders the timer of a job (systemd.timer(5)).
func systemdTimer(s *Service) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\n\n[Timer]\n", systemdText("the times of "+s.Name))
	t := s.Every
	if t.Interval > 0 {
		first := time.Second
		if t.Skip {
			first = t.Interval
		}
		fmt.Fprintf(&b, "OnActiveSec=%dms\nOnUnitActiveSec=%dms\n", first.Milliseconds(), t.Interval.Milliseconds())
	}
	days := make([]string, len(t.Calendar.Weekdays))
	for i, d := range t.Calendar.Weekdays {
		days[i] = d.String()[:3]
	}
	date := "*"
	if len(t.Calendar.Days) > 0 {
		date = strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Calendar.Days), " ", ","), "[]")
	}
	for _, at := range t.Calendar.Times {
		fmt.Fprintf(&b, "OnCalendar=%s\n", strings.TrimSpace(fmt.Sprintf("%s *-*-%s %02d:%02d:00", strings.Join(days, ","), date, at.Hour, at.Minute)))
	}
	if t.Interval == 0 && !t.Skip {
		b.WriteString("Persistent=yes\n")
	}
	if t.Jitter > 0 {
		fmt.Fprintf(&b, "RandomizedDelaySec=%dms\n", t.Jitter.Milliseconds())
	}
	accuracy := time.Second // systemd may put a run off by so much
	if t.Interval > 0 {
		accuracy = min(accuracy, t.Interval/10)
	}
	fmt.Fprintf(&b, "AccuracySec=%dms\n\n[Install]\nWantedBy=timers.target\n", accuracy.Milliseconds())
	return b.String()
}
