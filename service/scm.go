package service

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// scm renders a script for PowerShell that registers a service with the service control manager of Windows, which has no files of units. The launcher answers to it: it
// says when the program is ready, and stops it when it is told to. The text is ASCII: Windows PowerShell reads a file without a mark in a code page of the machine.
func scm(s *Service, l *Launcher) []Unit {
	var b strings.Builder
	name := unitName(s)
	fmt.Fprintf(&b, "# %s. Run it as an administrator: it registers the service anew, and starts it.\n", asciiLine(description(s)))
	b.WriteString("$ErrorActionPreference = 'Stop'\nfunction Invoke-SC { sc.exe @args | Out-Null; if ($LASTEXITCODE -ne 0) { throw \"sc.exe $args ended with $LASTEXITCODE\" } }\n")
	fmt.Fprintf(&b, "if (Get-Service -Name %s -ErrorAction SilentlyContinue) {\n\tStop-Service -Name %[1]s -Force\n\tInvoke-SC delete %[1]s\n}\n", powershell(name))
	fmt.Fprintf(&b, "New-Service -Name %s -DisplayName %[1]s -Description %s -StartupType Automatic -BinaryPathName %s", powershell(name), powershell(description(s)), powershell(commandLine(l.Argv)))
	if len(s.Needs) > 0 { // the launcher waits for the others of after, which may be stopped
		fmt.Fprintf(&b, " -DependsOn %s", powershellList(strings.Fields(names(s.Needs))))
	}
	b.WriteString(" | Out-Null\n")
	if len(l.Env) > 0 {
		fmt.Fprintf(&b, "New-ItemProperty -Path %s -Name Environment -PropertyType MultiString -Value %s -Force | Out-Null\n", powershell(`HKLM:\SYSTEM\CurrentControlSet\Services\`+name), powershellList(l.Env))
	}
	if s.User == UserDynamic {
		fmt.Fprintf(&b, "Invoke-SC config %s obj= %s\n", powershell(name), powershell(`NT SERVICE\`+name)) // Windows makes this account for the service
	}
	fmt.Fprintf(&b, "Invoke-SC failure %s reset= 60 actions= restart/1000/restart/10000/restart/60000\nInvoke-SC failureflag %[1]s 1\nStart-Service -Name %[1]s\n", powershell(name))
	return []Unit{{Path: name + ".ps1", Mode: 0o644, Text: b.String()}}
}

// scmCannot names the fields of a service that Windows cannot fulfil: it hands over no sockets, knows no signals, and wants the password of an account.
func scmCannot(s *Service, l *Launcher) (fields []string) {
	for _, f := range []struct {
		has  bool
		name string
	}{
		{len(s.Listen) > 0, "listen"}, {s.Ready.Notify, "ready: notify"}, {s.Reload != "", "reload"},
		{s.Stop.Signal != "" && s.Stop.Signal != "TERM", "stop: signal"}, {s.User != "" && s.User != UserDynamic, "user (an account needs its password; dynamic is one of its own)"},
	} {
		if f.has {
			fields = append(fields, f.name)
		}
	}
	for _, word := range l.Argv { // Windows replaces variables in the command of a service, and has no way to say that it must not
		if strings.Contains(word, "%") {
			fields = append(fields, fmt.Sprintf("the path %.200q, which has a %%", word))
		}
	}
	if strings.Contains(l.Argv[0], `"`) {
		fields = append(fields, fmt.Sprintf("the path %.200q, which has a quote", l.Argv[0]))
	}
	return fields
}

// commandLine joins words as programs of Windows take them apart (CommandLineToArgvW). The first is a path, which has no quotes in it.
func commandLine(words []string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if i > 0 && word != "" && !strings.ContainsAny(word, " \t\n\v\"") {
			b.WriteString(word)
			continue
		}
		b.WriteByte('"')
		slashes := 0
		for _, r := range word {
			switch r {
			case '\\':
				slashes++
			case '"':
				b.WriteString(strings.Repeat(`\`, slashes+1))
				slashes = 0
			default:
				slashes = 0
			}
			b.WriteRune(r)
		}
		if i > 0 { // in the path of a program a backslash is no more than that
			b.WriteString(strings.Repeat(`\`, slashes))
		}
		b.WriteByte('"')
	}
	return b.String()
}

// powershell returns an expression of PowerShell for a text. Nothing is replaced in single quotes; PowerShell counts some letters outside of ASCII as quotes too.
func powershell(text string) string {
	var parts []string
	quoted := func(plain string) {
		if plain != "" || text == "" {
			parts = append(parts, "'"+strings.ReplaceAll(plain, "'", "''")+"'")
		}
	}
	plain := ""
	for _, r := range text {
		if r >= ' ' && r < 0x7f {
			plain += string(r)
			continue
		}
		quoted(plain)
		if plain == "" && len(parts) == 0 {
			parts = append(parts, "''") // what follows is added to a text
		}
		plain = ""
		for _, unit := range utf16.Encode([]rune{r}) {
			parts = append(parts, fmt.Sprintf("[char]%d", unit))
		}
	}
	quoted(plain)
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " + ") + ")"
}

func powershellList(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, powershell(w))
	}
	return "@(" + strings.Join(out, ", ") + ")"
}

// asciiLine is a text for a comment.
func asciiLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, text)
}
