package service

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// randomLauncher returns a launcher with words that shells and property lists read in ways of their own.
func randomLauncher(r *rand.Rand, words int) *Launcher {
	parts := []string{"%", "$HOME", "${X}", "'", `"`, `\`, "\n", "\t", " ", "-x", "=", ";", "&", "|", "`id`", "$(id)", "*", "?", "[a]", "~", "#", "!", "ü", "日", "a", "<", ">", "&amp;", "]]>", "$$"}
	word := func() string {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	l := &Launcher{Argv: []string{"/nuka"}, Env: []string{"VALUE=" + word()}}
	for range words {
		l.Argv = append(l.Argv, word())
	}
	return l
}

// TestPropertyListWords has Python read property lists of launchd: each argument and variable comes back as it was. launchd itself does not run here.
func TestPropertyListWords(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no Python here, which reads property lists")
	}
	r := rand.New(rand.NewPCG(7, 2))
	l := randomLauncher(r, 1000)
	list, err := Units("launchd", &Service{Name: "web"}, l)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("python3", "-c", "import plistlib, sys, json; p = plistlib.loads(sys.stdin.buffer.read()); print(json.dumps([p['ProgramArguments'], p['EnvironmentVariables']['VALUE']]))")
	c.Stdin = strings.NewReader(list[0].Text)
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var got [2]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := make([]any, len(l.Argv))
	for i, word := range l.Argv {
		want[i] = word
	}
	if diff := cmp.Diff([2]any{want, strings.TrimPrefix(l.Env[0], "VALUE=")}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRcWords runs a script of rc.d with a stand-in for rc.subr(8), which evaluates command_args as that does.
func TestRcWords(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	dir := t.TempDir()
	subr := filepath.Join(dir, "rc.subr")
	if err := os.WriteFile(subr, []byte("load_rc_config() { :; }\nrun_rc_command() { eval \"printf '%s\\\\0' $command_args\"; printf '%s\\0' \"$VALUE\"; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 3))
	l := randomLauncher(r, 1000)
	list, err := Units("rc.d", &Service{Name: "web"}, l)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "nuka_web")
	if err := os.WriteFile(at, []byte(strings.Replace(list[0].Text, "/etc/rc.subr", subr, 1)), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", at, "start").Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	i := 0
	for i < len(words) && words[i] != "/nuka" {
		i++
	}
	want := append(append([]string{}, l.Argv...), strings.TrimPrefix(l.Env[0], "VALUE="))
	if diff := cmp.Diff(want, words[i:]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestSCMWords takes the scripts for Windows apart, as PowerShell does with texts and Windows with the command of a service: each argument and variable comes back as it
// was. Neither runs here.
func TestSCMWords(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 4))
	for range 200 {
		l := randomLauncher(r, 10)
		for i := range l.Argv {
			l.Argv[i] = strings.ReplaceAll(l.Argv[i], "%", "’\\")
		}
		list, err := Units(Windows, &Service{Name: "web"}, l)
		if err != nil {
			t.Fatal(err)
		}
		text := list[0].Text
		if strings.ContainsFunc(text, func(r rune) bool { return r >= 0x7f }) {
			t.Fatalf("not in ASCII: %q", text)
		}
		_, rest, _ := strings.Cut(text, "-BinaryPathName ")
		command, rest := powershellText(t, rest)
		if diff := cmp.Diff(l.Argv, windowsWords(command)); diff != "" || !strings.HasPrefix(rest, " | Out-Null\n") {
			t.Fatalf("(-want +got)\n%s\n%s", diff, text)
		}
		_, rest, _ = strings.Cut(rest, "-Value @(")
		if value, rest := powershellText(t, rest); value != l.Env[0] || !strings.HasPrefix(rest, ") -Force") {
			t.Fatalf("got %q, want %q\n%s", value, l.Env[0], text)
		}
	}
}

// powershellText reads a text at the beginning of a script, and returns it and the rest.
func powershellText(t *testing.T, script string) (text, rest string) {
	t.Helper()
	rest, several := strings.CutPrefix(script, "(")
	var units []uint16
	for {
		if after, ok := strings.CutPrefix(rest, "[char]"); ok {
			digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
			n, err := strconv.ParseUint(after[:digits], 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			units, rest = append(units, uint16(n)), after[digits:]
		} else {
			after, ok := strings.CutPrefix(rest, "'")
			for ok {
				plain, more, found := strings.Cut(after, "'")
				if !found {
					t.Fatalf("no end of a text in %q", script)
				}
				units, after = append(units, utf16.Encode([]rune(plain))...), more
				if after, ok = strings.CutPrefix(after, "'"); ok {
					units = append(units, '\'')
				}
			}
			rest = after
		}
		if !several {
			return string(utf16.Decode(units)), rest
		}
		if after, ok := strings.CutPrefix(rest, ")"); ok {
			return string(utf16.Decode(units)), after
		}
		after, ok := strings.CutPrefix(rest, " + ")
		if !ok {
			t.Fatalf("no text: %q", rest)
		}
		rest = after
	}
}

// windowsWords takes a command apart as CommandLineToArgvW documents it.
func windowsWords(command string) (words []string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(command, `"`), `"`) // the path of the program
	words = append(words, first)
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		var word strings.Builder
		for quoted := false; rest != "" && (quoted || rest[0] != ' ' && rest[0] != '\t'); {
			slashes := len(rest) - len(strings.TrimLeft(rest, `\`))
			rest = rest[slashes:]
			if !strings.HasPrefix(rest, `"`) {
				word.WriteString(strings.Repeat(`\`, slashes))
				if slashes == 0 {
					word.WriteByte(rest[0])
					rest = rest[1:]
				}
				continue
			}
			word.WriteString(strings.Repeat(`\`, slashes/2))
			if rest = rest[1:]; slashes%2 == 1 {
				word.WriteByte('"')
			} else {
				quoted = !quoted
			}
		}
		words = append(words, word.String())
	}
	return words
}
