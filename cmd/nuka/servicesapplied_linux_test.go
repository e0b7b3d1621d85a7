package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func onlyLongAsRoot(t *testing.T) {
	t.Helper()
	if os.Getenv("NUKA_LONG") == "" || os.Geteuid() != 0 {
		t.Skip("set NUKA_LONG=1, as root: it starts real service managers in name spaces of their own")
	}
}

// enter gives the commands of the manager's name spaces the home of some services.
func (m *serviceManager) enter(h *servicesHome) {
	m.t.Helper()
	m.do(fmt.Sprintf(`export H='%s' NUKA_HOME='%[1]s/n' TERM=dumb PATH='%s':"$PATH"`, h.home, programs))
}

// An appliedTo is a set of services that nuka services apply brings into use under a real manager.
type appliedTo struct {
	*serviceManager
	h     *servicesHome
	url   string
	flags string
	http  *http.Client
}

// appliedFlags are those of nuka services apply, and appliedBoot is what starts services at boot where the manager needs a command for it.
var appliedFlags = map[string]string{
	"systemd-user": "", "systemd-system": "--system", "openrc": "--system --as openrc", "runit": `--as runit --scan "$D/scan"`, "s6": `--as s6 --scan "$D/scan"`, "nuka": "--as nuka",
}

var appliedBoot = map[string]string{
	"openrc": "openrc default",
	"nuka":   `rm -f "$H/services/.nuka/control"; nuka services run --state "$H/services" >"$D/manager.log" 2>&1 3>&- & for i in $(seq 200); do [ -e "$H/services/.nuka/control" ] && break; sleep 0.1; done`,
}

// nuka runs a command for the services, and returns what it printed.
func (a *appliedTo) nuka(want int, words string) string {
	a.t.Helper()
	said := filepath.Join(a.dir, "said")
	begin := time.Now()
	code := a.try(fmt.Sprintf(`nuka services %s --state "$H/services" >"$D/said" 2>&1`, words))
	out, err := os.ReadFile(said)
	if err != nil {
		a.t.Fatal(err)
	}
	if code != want {
		a.t.Fatalf("nuka services %s: got %d, want %d\n%s", words, code, want, out)
	}
	a.t.Logf("%s: %s", words, time.Since(begin).Round(time.Millisecond))
	return string(out)
}

func (a *appliedTo) has(out string, wants ...string) {
	a.t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			a.t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func (a *appliedTo) status(name string) serviceStatus {
	a.t.Helper()
	var list []serviceStatus
	if err := json.Unmarshal([]byte(a.nuka(0, "status "+name+" --json")), &list); err != nil || len(list) != 1 {
		a.t.Fatalf("%v, %v", list, err)
	}
	return list[0]
}

// answers waits until the server answers so.
func (a *appliedTo) answers(want string) {
	a.t.Helper()
	begin := time.Now()
	for end := begin.Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got, err := get(a.http, a.url)
		if err == nil && got == want {
			a.t.Logf("%q after %s", want, time.Since(begin).Round(time.Millisecond))
			return
		}
		if time.Now().After(end) {
			a.t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// appliedKinds are the service managers that run here.
var appliedKinds = []string{"systemd-user", "systemd-system", "openrc", "runit", "s6", "nuka"}

// applyUnder starts a service manager for the services of a home.
func applyUnder(t *testing.T, kind string, h *servicesHome, address string) *appliedTo {
	t.Helper()
	h.must("daemon", "stop")
	a := &appliedTo{serviceManager: startManager(t, kind), h: h, url: "http://" + address + "/", flags: appliedFlags[kind], http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	a.enter(h)
	if boot := appliedBoot[kind]; boot != "" {
		a.do(boot)
	}
	return a
}

// TestServicesApplied has nuka services apply bring a server of WebAssembly into use under each service manager that runs here: start, ready, a crash of the program and of
// the launcher, a changed field, an upgrade that fails and goes back by itself, a roll-back, a stop that a start of the machine keeps, a job, and the removal.
func TestServicesApplied(t *testing.T) {
	onlyLongAsRoot(t)
	for _, kind := range appliedKinds {
		t.Run(kind, func(t *testing.T) {
			h := newServicesHome(t)
			address := freeAddress(t)
			const db = `db: {run: [$t tool sleep], ready: {within: 300ms}}` + "\n"
			web := func(run, within, fields string) string {
				return `web: {run: [$t tool ` + run + `], listen: {http: "` + address + `"}, after: [db], restart: {delay: 100ms}, ready: {http: "/", within: ` + within + `}` + fields + "}\n"
			}
			h.set("one.nu", db+web(`serve http "300"`, "1min", ""))
			h.set("two.nu", db+web(`serve http "300"`, "1min", `, env: {GREETING: "good bye"}`))
			h.set("hangs.nu", db+web(`sleep`, "2sec", ""))
			h.set("job.nu", db+web(`serve http "300"`, "1min", "")+`tick: {run: [$t tool echo ran], every: {interval: 1sec}}`)
			a := applyUnder(t, kind, h, address)
			a.upgrades()
			a.reboots()
			a.jobs()
			a.removes()
		})
	}
}

// endsAndComesBack ends the program of web, and then kills its launcher. Both are started again.
func (a *appliedTo) endsAndComesBack() {
	a.t.Helper()
	_, _ = get(a.http, a.url+"exit")
	a.answers("hello")
	old := a.status("web")
	if err := syscall.Kill(a.outside(old.Launcher), syscall.SIGKILL); err != nil {
		a.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if now := a.status("web"); now.Ready && now.Launcher != old.Launcher {
			break
		}
		if time.Now().After(end) {
			a.t.Fatal("the launcher is not started again")
		}
	}
	a.answers("hello")
}

func (a *appliedTo) upgrades() {
	a.t.Helper()
	a.has(a.nuka(0, `apply "$H/one.nu" `+a.flags), "db is ready\nnuka: web starts\nnuka: web is ready", "generation 1 of the services is in use")
	a.answers("hello")
	a.has(a.nuka(0, `apply "$H/one.nu"`), "nothing changes")
	if len(a.units()) == 0 {
		a.t.Error("the test finds no units")
	}
	a.endsAndComesBack()
	program := a.status("db").Program
	a.has(a.nuka(0, `plan "$H/two.nu"`), `restart web`, `env.GREETING: nothing → "good bye"`)
	a.has(a.nuka(0, `apply "$H/two.nu"`), "web restarts")
	a.answers("good bye")
	a.has(a.nuka(7, `apply "$H/hangs.nu"`), "web was not ready in 2s", "generation 3 failed, and generation 2 is in use again")
	a.answers("good bye")
	a.has(a.nuka(0, `history`), "* 2 ", "failed: web was not ready")
	a.has(a.nuka(0, `rollback 1`), "web restarts", "generation 1 of the services is in use")
	a.answers("hello")
	if got := a.status("db").Program; got != program || got == 0 {
		a.t.Errorf("db was restarted: process %d, and %d before", got, program)
	}
}

// outside returns the number that a process of the manager's name spaces has for the test.
func (a *appliedTo) outside(inside int) int {
	a.t.Helper()
	for _, at := range mustGlob("/proc/[0-9]*/status") {
		text, _ := os.ReadFile(at)
		_, rest, _ := strings.Cut(string(text), "\nNSpid:")
		line, _, _ := strings.Cut(rest, "\n")
		numbers := strings.Fields(line)
		if len(numbers) < 2 || numbers[len(numbers)-1] != strconv.Itoa(inside) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(at), "cmdline"))
		if strings.Contains(string(command), "\x00--state\x00"+a.h.state+"\x00") {
			n, _ := strconv.Atoi(numbers[0]) // the system writes numbers
			return n
		}
	}
	a.t.Fatalf("there is no process %d", inside)
	return 0
}

// units returns the paths of the units in the manager's folders, and those that start services at boot.
func (a *appliedTo) units() (list []string) {
	for _, pattern := range []string{"config/systemd/user/nuka-*", "config/systemd/user/*.wants/nuka-*", "system/nuka-*", "system/*.wants/nuka-*", "init.d/nuka-*", "runlevels/*/nuka-*", "scan/nuka-*", "scan/.nuka/nuka-*"} {
		list = append(list, mustGlob(filepath.Join(a.dir, pattern))...)
	}
	return append(list, mustGlob(filepath.Join(a.h.state, ".nuka", "units", "*"))...)
}

// reboots stops a service, and starts the machine anew: what was stopped stays stopped, and the rest comes back without help, although the folder of packages and state is
// there only five seconds later.
func (a *appliedTo) reboots() {
	a.t.Helper()
	a.nuka(0, "stop db")
	a.end()
	late := a.kind != "nuka" // its folder is that of the manager as well
	if late {
		if err := os.Rename(a.h.home, a.h.home+".away"); err != nil {
			a.t.Fatal(err)
		}
	}
	a.boot()
	a.enter(a.h)
	if boot := appliedBoot[a.kind]; boot != "" {
		a.do(boot)
	}
	if late {
		time.Sleep(5 * time.Second)
		if _, err := os.Lstat(a.h.home); err == nil {
			a.t.Error("something was made in the place of the missing folder")
			_ = os.RemoveAll(a.h.home)
		}
		if err := os.Rename(a.h.home+".away", a.h.home); err != nil {
			a.t.Fatal(err)
		}
	}
	a.answers("hello")
	if s := a.status("db"); s.Wanted || s.Running != 0 {
		a.t.Errorf("db was stopped, and runs: %+v", s)
	}
	a.has(a.nuka(0, "start db"), "db is ready")
}

// jobs adds a job that runs each second.
func (a *appliedTo) jobs() {
	a.t.Helper()
	a.has(a.nuka(0, `apply "$H/job.nu"`), "tick starts")
	runs := func() int {
		text, _ := os.ReadFile(filepath.Join(a.h.state, "tick", "log", "current"))
		return strings.Count(string(text), "ran\n")
	}
	for end := time.Now().Add(30 * time.Second); runs() == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	before := runs()
	time.Sleep(4 * time.Second)
	if n := runs() - before; n < 3 || n > 5 {
		a.t.Errorf("the job ran %d times in 4 s", n)
	}
	a.has(a.nuka(0, `apply "$H/job.nu"`), "nothing changes")
}

func (a *appliedTo) removes() {
	a.t.Helper()
	a.nuka(0, "remove --yes")
	if got, err := get(a.http, a.url); err == nil {
		a.t.Errorf("it answers %q after its removal", got)
	}
	if left := a.units(); len(left) > 0 {
		a.t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(a.h.state, "web", "log", "current")); err != nil {
		a.t.Error(err)
	}
	a.nuka(3, "status")
	a.do("nuka daemon stop")
}
