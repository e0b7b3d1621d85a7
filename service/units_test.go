package service

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// refused are the records that a manager has nothing for, and what the error says.
var refused = map[string]map[string]string{
	"launchd": {"db": "makes no users", "needs": "makes no users"}, "openrc": {"db": "makes no users", "needs": "makes no users"}, "runit": {"db": "makes no users", "needs": "makes no users"},
	"s6": {"db": "makes no users", "needs": "makes no users"}, "rc.d": {"db": "makes no users", "needs": "makes no users"},
	Windows: {
		"web": "windows has nothing for: stop: signal", "srv": "has nothing for: listen, reload, user (", "v6": "nothing for: listen", "db": "nothing for: ready: notify", "monthly": "nothing for: user",
		"local": "nothing for: listen, stop: signal", "always": "nothing for: user (an account needs its password",
	},
}

// nastyLauncher has words that managers and shells read in ways of their own.
func nastyLauncher(manager string, s *Service) *Launcher {
	l := &Launcher{Argv: []string{"/bin/true", "a b", "100%n $HOME ${X} `id` $(id)", `q"u'o\te`, "", "-x", "é\tü"}, Env: []string{"NUKA_HOME=/with space/%h $y 'q'"}, User: s.User == "" && manager != Windows}
	if manager == Windows {
		l.Argv[2] = "$HOME ${X} `id` $(id) ‘x’ C:\\a b\\"
	}
	return l
}

// TestUnits renders 12 records for each of 7 managers, compares them with golden files, and has the tools of this machine check those that they know.
func TestUnits(t *testing.T) {
	var records []*Service
	for _, text := range []string{whole, more} {
		set, err := Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range set {
			if text == more || s.Name == "web" { // both have a db
				records = append(records, s)
			}
		}
	}
	if len(records) != 12 || len(Managers()) != 7 {
		t.Fatalf("%d records and %d managers, want 12 and 7", len(records), len(Managers()))
	}
	lint := shellcheck(t)
	for _, m := range Managers() {
		all := map[string][]Unit{}
		for _, s := range records {
			units, err := Units(m, s, nastyLauncher(m, s))
			if want := refused[m][s.Name]; want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s %s: got %v, want %q", m, s.Name, err, want)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s %s: %v", m, s.Name, err)
			}
			all[s.Name] = units
		}
		for _, s := range records {
			t.Run(m+" "+s.Name, func(t *testing.T) {
				for _, u := range all[s.Name] {
					golden(t, m, u)
					check(t, m, lint, nastyLauncher(m, s), u, all)
				}
			})
		}
	}
	if _, err := Units("upstart", records[0], nastyLauncher("", records[0])); err == nil || !strings.Contains(err.Error(), "systemd, launchd") {
		t.Errorf("an unknown manager: got %v", err)
	}
}

// shellcheck returns the path of that program: the machine's, or with NUKA_LONG=1 that of Debian's package, which is downloaded and not installed; "" without it.
func shellcheck(t *testing.T) string {
	t.Helper()
	if at, err := exec.LookPath("shellcheck"); err == nil {
		return at
	}
	if os.Getenv("NUKA_LONG") == "" {
		return ""
	}
	dir := t.TempDir()
	c := exec.Command("sh", "-c", "apt-get download shellcheck >/dev/null 2>&1 && dpkg -x shellcheck_*.deb .")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Logf("without shellcheck, which is not to be had here: %v\n%s", err, out)
		return ""
	}
	return filepath.Join(dir, "usr/bin/shellcheck")
}

// golden compares a unit with its golden file.
func golden(t *testing.T, m string, u Unit) {
	t.Helper()
	at := filepath.Join("testdata", m, filepath.FromSlash(u.Path))
	if *update {
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(u.Text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), u.Text); diff != "" {
		t.Errorf("%s (-want +got)\n%s", at, diff)
	}
}

// check has the tools of this machine look at a unit, as far as it has them. All are the units of the manager, by services.
func check(t *testing.T, manager, lint string, l *Launcher, u Unit, all map[string][]Unit) {
	t.Helper()
	dir := t.TempDir()
	if manager == "systemd" {
		for _, units := range all {
			for _, other := range units {
				if err := os.WriteFile(filepath.Join(dir, other.Path), []byte(other.Text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	at := filepath.Join(dir, filepath.Base(u.Path))
	if err := os.WriteFile(at, []byte(u.Text), os.FileMode(u.Mode)); err != nil {
		t.Fatal(err)
	}
	var tools [][]string
	switch {
	case manager == "systemd":
		for _, scope := range []string{"--user", "--system"} {
			tools = append(tools, []string{"systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", scope, at})
		}
	case manager == "launchd":
		propertyList(t, l, u)
	case strings.HasPrefix(u.Text, "#!"):
		tools = append(tools, []string{"sh", "-n", at})
		if lint != "" {
			tools = append(tools, []string{lint, "-s", "sh", "-S", "error", at})
		}
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool[0]); err != nil {
			continue // this machine does not have it
		}
		c := exec.Command(tool[0], tool[1:]...)
		c.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
		out, err := c.CombinedOutput()
		if bytes.Contains(out, []byte("Failed to initialize manager")) {
			continue // it wants a running manager
		}
		if err != nil {
			t.Errorf("%q: %v\n%s\n%s", tool, err, out, u.Text)
		}
	}
}

// propertyList has Python read a property list: the command and the variables are those of the launcher.
func propertyList(t *testing.T, l *Launcher, u Unit) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		return
	}
	c := exec.Command("python3", "-c", "import plistlib, sys, json; p = plistlib.loads(sys.stdin.buffer.read()); print(json.dumps([p['ProgramArguments'], p['EnvironmentVariables']]))")
	c.Stdin = strings.NewReader(u.Text)
	out, err := c.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", u.Path, err, u.Text)
		return
	}
	var got struct {
		argv []string
		env  map[string]string
	}
	if err := json.Unmarshal(out, &[]any{&got.argv, &got.env}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, pair := range l.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	delete(got.env, OneRun) // of jobs
	if diff := cmp.Diff(l.Argv, got.argv) + cmp.Diff(env, got.env); diff != "" {
		t.Errorf("%s (-want +got)\n%s", u.Path, diff)
	}
}
