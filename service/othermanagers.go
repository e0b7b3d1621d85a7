package service

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// launchd renders a property list (launchd.plist(5)). launchd has neither readiness nor order: the launcher waits for what is in after.
func launchd(s *Service, l *Launcher) []Unit {
	var b strings.Builder
	text := func(t string) string {
		var out strings.Builder
		_ = xml.EscapeText(&out, []byte(t)) // a Builder does not fail
		return "<string>" + out.String() + "</string>"
	}
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" +
		"<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n")
	fmt.Fprintf(&b, "\t<key>Label</key>\n\t%s\n\t<key>ProgramArguments</key>\n\t<array>\n", text(unitName(s)))
	for _, w := range l.Argv {
		fmt.Fprintf(&b, "\t\t%s\n", text(w))
	}
	b.WriteString("\t</array>\n")
	if len(l.Env) > 0 {
		b.WriteString("\t<key>EnvironmentVariables</key>\n\t<dict>\n")
		for _, pair := range l.Env {
			name, value, _ := strings.Cut(pair, "=")
			fmt.Fprintf(&b, "\t\t<key>%s</key>\n\t\t%s\n", name, text(value))
		}
		b.WriteString("\t</dict>\n")
	}
	if s.User != "" {
		fmt.Fprintf(&b, "\t<key>UserName</key>\n\t%s\n", text(s.User))
	}
	if s.Every.IsZero() {
		b.WriteString("\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n\t<key>ThrottleInterval</key>\n\t<integer>10</integer>\n")
	} else {
		b.WriteString(launchdTimes(s.Every))
	}
	fmt.Fprintf(&b, "\t<key>ExitTimeOut</key>\n\t<integer>%d</integer>\n</dict>\n</plist>\n", int(s.Stop.Within.Seconds())+5)
	return []Unit{{Path: unitName(s) + ".plist", Mode: 0o644, Text: b.String()}}
}

// launchdTimes renders the times of a job. launchd makes up for what a sleeping machine missed, and not for what one missed that was off.
func launchdTimes(t Timer) string {
	if t.Interval > 0 {
		return fmt.Sprintf("\t<key>StartInterval</key>\n\t<integer>%d</integer>\n", int(t.Interval.Seconds()))
	}
	var b strings.Builder
	b.WriteString("\t<key>StartCalendarInterval</key>\n\t<array>\n")
	one := func(key string, day int, at Clock) {
		b.WriteString("\t\t<dict>\n")
		for _, pair := range []struct {
			key string
			n   int
		}{{key, day}, {"Hour", at.Hour}, {"Minute", at.Minute}} {
			if pair.key != "" {
				fmt.Fprintf(&b, "\t\t\t<key>%s</key>\n\t\t\t<integer>%d</integer>\n", pair.key, pair.n)
			}
		}
		b.WriteString("\t\t</dict>\n")
	}
	for _, at := range t.Calendar.Times {
		for _, d := range t.Calendar.Weekdays {
			one("Weekday", int(d), at)
		}
		for _, d := range t.Calendar.Days {
			one("Day", d, at)
		}
		if len(t.Calendar.Weekdays)+len(t.Calendar.Days) == 0 {
			one("", 0, at)
		}
	}
	b.WriteString("\t</array>\n")
	return b.String()
}

// openrc renders a script for supervise-daemon (openrc-run(8)). OpenRC splits command and command_args at blanks, and then passes them through a shell once more. So the
// words are variables, which only that shell replaces.
func openrc(s *Service, l *Launcher) []Unit {
	var b strings.Builder
	b.WriteString("#!/sbin/openrc-run\n")
	b.WriteString(exports(l.Env))
	words := make([]string, len(l.Argv))
	for i, word := range l.Argv {
		fmt.Fprintf(&b, "nuka_word_%d=%s\n", i, sh(word))
		words[i] = fmt.Sprintf(`"$nuka_word_%d"`, i)
	}
	fmt.Fprintf(&b, "name=%s\ndescription=%s\nsupervisor=supervise-daemon\ncommand=%s\ncommand_args=%s\nrespawn_delay=1\nrespawn_max=0\nretry=TERM/%d/KILL/5\n",
		sh(unitName(s)), sh(description(s)), sh(words[0]), sh(strings.Join(words[1:], " ")), int(s.Stop.Within.Seconds())+5)
	if s.User != "" {
		fmt.Fprintf(&b, "command_user=%s\n", sh(s.User))
	}
	if s.Reload != "" {
		fmt.Fprintf(&b, "extra_started_commands=reload\n\nreload() {\n\tsupervise-daemon %s --signal HUP\n}\n", sh(unitName(s)))
	}
	if len(s.After) > 0 {
		fmt.Fprintf(&b, "\ndepend() {\n\tafter%s\n\twant%[1]s\n", names(s.After))
		if len(s.Needs) > 0 {
			fmt.Fprintf(&b, "\tneed%s\n", names(s.Needs))
		}
		b.WriteString("}\n")
	}
	return []Unit{{Path: unitName(s), Mode: 0o755, Text: b.String()}}
}

func names(list []string) string {
	var b strings.Builder
	for _, name := range list {
		b.WriteString(" nuka-" + name)
	}
	return b.String()
}

// asUser is the command of a manager that runs another as a user.
func asUser(command string, s *Service) string {
	if s.User == "" {
		return ""
	}
	return command + sh(s.User) + " "
}

// runit renders the folder of a service (runsv(8)).
func runit(s *Service, l *Launcher) []Unit {
	return []Unit{{Path: unitName(s) + "/run", Mode: 0o755, Text: "#!/bin/sh\nexec 2>&1\n" + exports(l.Env) + "exec " + asUser("chpst -u ", s) + shWords(l.Argv) + "\n"}}
}

// s6 renders the folder of a service (s6-supervise(8)). The launcher tells on descriptor 3 when the program is ready.
func s6(s *Service, l *Launcher) []Unit {
	dir := unitName(s)
	return []Unit{
		{Path: dir + "/run", Mode: 0o755, Text: "#!/bin/sh\nexec 2>&1\nexport NUKA_NOTIFY_FD=3\n" + exports(l.Env) + "exec " + asUser("s6-setuidgid ", s) + shWords(l.Argv) + "\n"},
		{Path: dir + "/notification-fd", Mode: 0o644, Text: "3\n"},
		{Path: dir + "/timeout-kill", Mode: 0o644, Text: fmt.Sprintf("%d\n", s.Stop.Within.Milliseconds()+5000)},
	}
}

// rcd renders a script for FreeBSD's rc(8), in which daemon(8) restarts the launcher.
func rcd(s *Service, l *Launcher) []Unit {
	id := strings.ReplaceAll(unitName(s), "-", "_")
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n#\n# PROVIDE: %s\n# REQUIRE: LOGIN%s\n# KEYWORD: shutdown\n\n. /etc/rc.subr\n\n", id, strings.ReplaceAll(names(s.After), "-", "_"))
	b.WriteString(exports(l.Env))
	if s.User != "" {
		fmt.Fprintf(&b, "%s_user=%s\n", id, sh(s.User))
	}
	fmt.Fprintf(&b, "name=%s\nrcvar=%s_enable\n: \"${%[2]s_enable:=YES}\"\npidfile=/var/run/%[2]s.pid\ncommand=/usr/sbin/daemon\n"+
		"command_args=%s\n\nload_rc_config \"$name\"\nrun_rc_command \"$1\"\n", id, id, sh("-f -r -R 1 -S -P /var/run/"+id+".pid -T "+unitName(s)+" "+shWords(l.Argv)))
	return []Unit{{Path: id, Mode: 0o755, Text: b.String()}}
}
