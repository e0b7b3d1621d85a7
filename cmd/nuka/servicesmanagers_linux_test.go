package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/service"
)

// A serviceManager is a real service manager in name spaces of its own.
type serviceManager struct {
	t    *testing.T
	kind string
	dir  string
	in   io.Writer
	back *bufio.Reader
	end  func() // ends the name spaces with all that runs in them
}

// commands are what the managers are told. NAME is nuka-web.
var managerCommands = map[string]struct {
	as, to                     string // the renderer, and the folder of units
	debs                       []string
	load, start, restart, stop string
	kill                       string // kills the launcher
	spawn                      string // starts it and waits for nothing; "" is start
}{
	"systemd-user": {
		as: "systemd", to: "config/systemd/user", load: "systemctl --user daemon-reload", start: "systemctl --user start nuka-web", restart: "systemctl --user restart nuka-web",
		stop: "systemctl --user stop nuka-web", kill: "systemctl --user kill -s KILL --kill-who=main nuka-web", spawn: "systemctl --user start --no-block nuka-web",
	},
	"systemd-system": {
		as: "systemd", to: "units", load: "systemctl daemon-reload", start: "systemctl start nuka-web", restart: "systemctl restart nuka-web",
		stop: "systemctl stop nuka-web", kill: "systemctl kill -s KILL --kill-who=main nuka-web", spawn: "systemctl start --no-block nuka-web",
	},
	"openrc": {
		as: "openrc", to: "init.d", debs: []string{"openrc", "librc1", "libeinfo1"}, load: "true", start: "rc-service nuka-web start", restart: "rc-service nuka-web restart",
		stop: "rc-service nuka-web stop", kill: "kill -KILL $(pgrep -f '^/[^ ]*/nuka services run .*--only web')",
	},
	"runit": {
		as: "runit", to: "sv", debs: []string{"runit"}, load: "true", start: `ln -sfn "$D/sv/nuka-web" "$D/scan/nuka-web"; for i in $(seq 100); do sv up "$D/scan/nuka-web" && break; sleep 0.1; done`,
		restart: `sv -w 20 restart "$D/scan/nuka-web"`, stop: `sv -w 20 down "$D/scan/nuka-web"`, kill: `sv kill "$D/scan/nuka-web"`, spawn: `ln -sfn "$D/sv/nuka-web" "$D/scan/nuka-web"`,
	},
	"s6": {
		as: "s6", to: "sv", debs: []string{"s6", "libs6-2.11", "libexecline2.9", "libskarnet2.13", "execline"}, load: "true",
		start:   `ln -sfn "$D/sv/nuka-web" "$D/scan/nuka-web"; s6-svscanctl -a "$D/scan"; for i in $(seq 100); do s6-svc -u "$D/scan/nuka-web" && break; sleep 0.1; done; s6-svwait -U -t 60000 "$D/scan/nuka-web"`,
		restart: `s6-svc -wR -r -T 60000 "$D/scan/nuka-web"`, stop: `s6-svc -wD -d -T 20000 "$D/scan/nuka-web"`, kill: `s6-svc -k "$D/scan/nuka-web"`, spawn: `ln -sfn "$D/sv/nuka-web" "$D/scan/nuka-web"; s6-svscanctl -a "$D/scan"`,
	},
}

// startManager starts a manager, with the programs of Debian packages that are downloaded for the test and not installed.
func startManager(t *testing.T, kind string) *serviceManager {
	t.Helper()
	m := &serviceManager{t: t, kind: kind, dir: t.TempDir()}
	for _, name := range managerCommands[kind].debs {
		c := exec.Command("sh", "-c", `mkdir -p root && apt-get download "$0" >/dev/null 2>&1 && dpkg -x "$0"_*.deb root`, name)
		c.Dir = m.dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("the package %s of Debian is not to be had here: %v\n%s", name, err, out)
		}
	}
	if strings.HasPrefix(kind, "systemd") {
		if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
			t.Skip("systemd is not installed here")
		}
	}
	m.boot()
	t.Cleanup(func() {
		m.end()
		if t.Failed() {
			for _, name := range []string{"enter.log", "manager.log", "out"} {
				text, _ := os.ReadFile(filepath.Join(m.dir, name))
				t.Logf("%s:\n%s", name, text)
			}
		}
	})
	return m
}

// boot starts the name spaces and the manager. What it has in its folders from the time before is there.
func (m *serviceManager) boot() {
	m.t.Helper()
	group := "nuka-test-" + strconv.Itoa(os.Getpid())
	c := exec.Command("bash", "testdata/managers/enter.sh", m.kind, m.dir)
	c.Env = append(os.Environ(), "NUKA_CGROUP="+group)
	in, err := c.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	c.ExtraFiles = []*os.File{w}
	log, err := os.OpenFile(filepath.Join(m.dir, "enter.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	w.Close()
	log.Close()
	m.in, m.back = in, bufio.NewReader(r)
	m.end = func() {
		in.Close()
		ended := make(chan struct{})
		go func() {
			_ = c.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill() // the name space of its processes goes with it
			<-ended
		}
		r.Close()
		for _, dir := range append(mustGlob("/sys/fs/cgroup/*/"+group), "/sys/fs/cgroup/"+group) {
			removeGroup(dir)
		}
		m.end = func() {}
	}
	if code := m.try("true"); code != 0 {
		m.t.Fatalf("%s: got %d", m.kind, code)
	}
}

// removeGroup removes a control group, with those in it.
func removeGroup(dir string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if e.IsDir() {
			removeGroup(filepath.Join(dir, e.Name()))
		}
	}
	for range 50 {
		if err := unix.Rmdir(dir); err == nil || err == unix.ENOENT { //nolint:errorlint // a system call's own error
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// try runs a line in the name spaces of the manager, and returns its exit code.
func (m *serviceManager) try(line string) int {
	m.t.Helper()
	if _, err := fmt.Fprintln(m.in, line); err != nil {
		m.t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		text, err := m.back.ReadString('\n')
		if err != nil {
			text = err.Error()
		}
		answer <- strings.TrimSpace(text)
	}()
	select {
	case text := <-answer:
		code, err := strconv.Atoi(text)
		if err != nil {
			m.t.Fatalf("%s: %s: %s", m.kind, line, text)
		}
		return code
	case <-time.After(4 * time.Minute):
		m.t.Fatalf("%s: %s: no answer", m.kind, line)
	}
	return -1
}

func (m *serviceManager) do(line string) {
	m.t.Helper()
	if code := m.try(line); code != 0 {
		m.t.Fatalf("%s: %s: exit code %d", m.kind, line, code)
	}
}

// TestServicesUnderManagers runs one server under each service manager that runs here: start, ready, a crash of the program, a crash of the launcher, a changed argument, stop.
func TestServicesUnderManagers(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1: it starts real service managers, as root")
	}
	if os.Geteuid() != 0 {
		t.Skip("the name spaces of service managers need root")
	}
	address := freeAddress(t)
	v := newServices(t, false, `web: {run: [$t tool serve http "300"], listen: {http: "`+address+`"}, env: {GREETING: "hello"}, restart: {delay: 100ms}}`)
	pidOf := func(out string) string {
		for _, word := range strings.Fields(out) {
			if _, err := pir.ParsePID(word); err == nil {
				return word
			}
		}
		t.Fatalf("no PID in %s", out)
		return ""
	}
	before := pidOf(v.works("build", "./set.nu"))
	set, err := os.ReadFile(filepath.Join(v.dir, "set.nu"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, "next.nu"), []byte(strings.Replace(string(set), `"hello"`, `"good bye"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	after := pidOf(v.works("build", "./next.nu"))
	warm := v.runServices()
	warm.await(t, "web is ready", 1)
	_ = warm.Process.Signal(os.Interrupt)
	warm.await(t, "web is ended", 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, kind := range []string{"systemd-user", "systemd-system", "openrc", "runit", "s6"} {
		t.Run(kind, func(t *testing.T) {
			m := startManager(t, kind)
			c := managerCommands[kind]
			answers := func(want string) {
				t.Helper()
				for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
					got, err := get(client, "http://"+address+"/")
					if err == nil && got == want {
						return
					}
					if time.Now().After(end) {
						t.Fatalf("got %q, %v, want %q", got, err, want)
					}
				}
			}
			unit := func(id string) {
				t.Helper()
				v := *v
				v.t = t
				to := filepath.Join(m.dir, c.to)
				words := []string{"services", "show", id, "web", "--as", c.as, "--to", to, "--state", filepath.Join(m.dir, "services")}
				if kind == "systemd-system" {
					words = append(words, "--system")
				}
				v.works(words...)
			}
			show := func(what string, begin time.Time) { t.Logf("%s: %s", what, time.Since(begin).Round(time.Millisecond)) }
			unit(before)
			m.do(c.load)
			begin := time.Now()
			m.do(c.start)
			show("start", begin)
			answers("hello")
			show("answers", begin)
			if strings.HasPrefix(kind, "systemd") || kind == "s6" { // those know when it is ready
				if time.Since(begin) < 300*time.Millisecond {
					t.Error("it counts as started before it is ready")
				}
			}
			_, _ = get(client, "http://"+address+"/exit")
			begin = time.Now()
			answers("hello")
			show("after a crash of the program", begin)
			m.do(c.kill)
			begin = time.Now()
			answers("hello")
			show("after a crash of the launcher", begin)
			unit(after)
			m.do(c.load)
			m.do(c.restart)
			answers("good bye")
			m.do(c.stop)
			if got, err := get(client, "http://"+address+"/"); err == nil {
				t.Errorf("it answers %q after stop", got)
			}
		})
	}
}

// TestWordsUnderManagers has each manager start units whose launcher has random arguments and a random variable: each arrives as it is.
func TestWordsUnderManagers(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1: it starts real service managers, as root")
	}
	if os.Geteuid() != 0 {
		t.Skip("the name spaces of service managers need root")
	}
	const units, words = 10, 100
	for _, kind := range []string{"systemd-user", "systemd-system", "openrc", "runit", "s6"} {
		t.Run(kind, func(t *testing.T) {
			m := startManager(t, kind)
			c := managerCommands[kind]
			printer := filepath.Join(m.dir, "printer")
			if err := os.WriteFile(printer, []byte("#!/bin/sh\nat=$1\nprintf '%s\\0' \"$@\" \"$VALUE\" >\"$at.new\"\nmv \"$at.new\" \"$at\"\nexec sleep 100\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(7, 1))
			want := map[string][]string{}
			for i := range units {
				s := &service.Service{Name: fmt.Sprint("w", i), Stop: service.Stop{Within: time.Second}}
				l := &service.Launcher{Argv: []string{printer, filepath.Join(m.dir, "got-"+s.Name)}, Env: []string{"VALUE=" + randomWord(r)}, User: kind != "systemd-system"}
				for range words {
					l.Argv = append(l.Argv, randomWord(r))
				}
				want[s.Name] = append(append([]string{}, l.Argv[1:]...), strings.TrimPrefix(l.Env[0], "VALUE="))
				list, err := service.Units(c.as, s, l)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range list {
					at := filepath.Join(m.dir, c.to, filepath.FromSlash(u.Path))
					if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(at, []byte(u.Text), os.FileMode(u.Mode)); err != nil {
						t.Fatal(err)
					}
				}
			}
			m.do(c.load)
			spawn := c.spawn
			if spawn == "" {
				spawn = c.start
			}
			for name, words := range want {
				m.try(strings.ReplaceAll(spawn, "nuka-web", "nuka-"+name))
				var text []byte
				for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					var err error
					if text, err = os.ReadFile(filepath.Join(m.dir, "got-"+name)); err == nil {
						break
					}
				}
				got := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
				if diff := cmp.Diff(words, got); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			}
		})
	}
}

// randomWord returns a text of characters that managers and shells read in ways of their own.
func randomWord(r *rand.Rand) string {
	parts := []string{"%", "%h", "$", "$HOME", "${X}", "'", `"`, `\`, "\n", "\t", " ", "-x", "--", "=", ";", "&", "|", "`id`", "$(id)", "*", "?", "[a]", "{}", "~", "#", "!", "@", "ü", "日", "a", "\x01", "<", ">", "\\n", "%%", "$$"}
	var b strings.Builder
	for range r.IntN(6) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}
