package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// systemdServices is what a test does below systemd's user manager. The first part of each step is a command, and the second a text that its output must have.
const systemdServices = `
fail() { echo "FAILED: $1"; systemctl --user --no-pager status 'nuka-*' || true; exit 1; }
has() { grep -q -- "$1" "$D/said" || { cat "$D/said"; fail "no $1 in the output"; }; }
run() { "$@" >"$D/said" 2>&1 || { cat "$D/said"; fail "$*"; }; }
program() { nuka services status "$1" --json | sed -n 's/.*"program": \([0-9]*\).*/\1/p'; }
units=$XDG_CONFIG_HOME/systemd/user

run nuka services apply "$H/one.nu"
has 'web is ready'
systemd-analyze verify --user --recursive-errors=yes --man=no "$units/nuka-web.service" || fail verify
! grep -r /store/ "$units" || fail 'a unit names the store'
run systemctl --user is-active nuka-web nuka-db
run systemctl --user is-enabled nuka-web nuka-db

# Nothing changes: nothing is touched.
before="$(program web) $(program db) $(stat -c %Y%i "$units"/*)"
run nuka services apply "$H/one.nu"
has 'nothing changes'
[ "$before" = "$(program web) $(program db) $(stat -c %Y%i "$units"/*)" ] || fail 'something was touched'

# An upgrade restarts one service alone.
db=$(program db)
run nuka services apply "$H/two.nu"
has 'web restarts'
[ "$db" = "$(program db)" ] || fail 'db was restarted'

# A program that crashes is started again.
web=$(program web)
kill -9 "$web"
for i in $(seq 200); do nuka services status web | grep -q ' ready' && [ "$(program web)" != "$web" ] && break; sleep 0.1; done
run nuka services status web
has '1 restart'

# A failed upgrade: the old one is back no later than the deadline and a second.
begin=$(date +%s%N)
if nuka services apply "$H/hangs.nu" >"$D/said" 2>&1; then fail 'a hanging service was taken'; fi
took=$(( ($(date +%s%N) - begin) / 1000000 ))
has 'going back to generation 2'
has 'web was not ready in 2s'
echo "a failed upgrade with a deadline of 2000 ms took $took ms"
run nuka services status web
has 'ready .*generation 2'
run nuka services history
has 'failed: web was not ready'

# A service that fails for good is not started again by the manager.
if nuka services apply "$H/broken.nu" >"$D/said" 2>&1; then fail 'a broken service was taken'; fi
has 'not ready: extra'
sleep 2.5
run systemctl --user show -p NRestarts -p ActiveState nuka-extra
has NRestarts=0
has ActiveState=failed

# Back, and a stop that the manager keeps when it starts anew.
run nuka services rollback 1
has 'generation 1 of the services is in use'
[ ! -e "$units/nuka-extra.service" ] || fail 'the unit of extra is left'
run nuka services stop db
systemctl --user daemon-reexec
systemctl --user start default.target
! systemctl --user is-active nuka-db || fail 'db runs'
run nuka services apply "$H/two.nu"
! systemctl --user is-active nuka-db || fail 'db runs'
run nuka services start db
run systemctl --user is-active nuka-db

# A daemon that a launcher has started outlives its service.
nuka daemon stop
run nuka services restart web
node=$(cat "$NUKA_HOME/store/lock")
! grep -q nuka-web.service "/proc/$node/cgroup" || fail 'the daemon is part of the service'
run nuka services stop web
kill -0 "$node" || fail 'the daemon has ended with the service'
run nuka services start web

# A unit that somebody has changed.
echo '# mine' >> "$units/nuka-web.service"
if nuka services apply "$H/one.nu" >"$D/said" 2>&1; then fail 'a changed unit was replaced'; fi
has '+# mine'
run nuka services apply "$H/one.nu" --force

# A collection takes nothing of what runs.
run nuka gc --generations 1
run nuka services restart --all
has 'web is ready'

run nuka services remove --yes
[ -z "$(ls "$units" | grep -v wants)" ] || fail 'units are left'
[ -z "$(systemctl --user list-units --all --plain --no-legend 'nuka-*.service')" ] || fail 'systemd still knows services'
run nuka root list services
[ ! -s "$D/said" ] || fail 'roots are left'
nuka daemon stop
`

// TestSystemdServices applies, upgrades, takes back, rolls back, stops and removes services under systemd's manager of a user: NUKA_LONG=1, as root.
func TestSystemdServices(t *testing.T) {
	onlyLongAsRoot(t)
	h := newServicesHome(t)
	const db = `db: {run: [$t tool sleep], ready: {within: 300ms}}` + "\n"
	for name, web := range map[string]string{
		"one":    `web: {run: [$t tool sleep], after: [db], state: true, ready: {within: 300ms}}`,
		"two":    `web: {run: [$t tool sleep], after: [db], state: true, ready: {within: 300ms}, env: {N: "2"}}`,
		"hangs":  `web: {run: [$t tool sleep], after: [db], state: true, ready: {port: 1, within: 2sec}}`,
		"broken": `web: {run: [$t tool sleep], after: [db], state: true, ready: {within: 300ms}, env: {N: "2"}}` + "\n" + `extra: {run: [$t tool fail "3" no luck], ready: {within: 2sec}, restart: {when: "no"}}`,
	} {
		h.set(name+".nu", db+web)
	}
	h.must("daemon", "stop")
	script := h.write("script.sh", systemdServices)
	m := startManager(t, "systemd-user")
	m.enter(h)
	code := m.try(`bash -ex "` + script + `"`)
	out, err := os.ReadFile(filepath.Join(m.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 { // the output is shown then
		t.Fatalf("exit code %d", code)
	}
	at := bytes.LastIndex(out, []byte("a failed upgrade with"))
	if at < 0 {
		t.Fatal("the script ended early")
	}
	line, _, _ := bytes.Cut(out[at:], []byte("\n"))
	t.Logf("%s", line)
}
