package service

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
