package service

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
)

const (
	pid   = `"josmkpxwq3e3siqtx7i4kqwy75wil6w2cwfws6nsvqf7oxie4ija"`
	whole = `{web: {run: [{name: srv, pid: ` + pid + `, version: "1.2"}, srv, --root, "{state}/site"], env: {MODE: "100% of $HOME", KEYS: "{credentials}/key"},
		secrets: {key: {file: "/etc/key"}, other: {run: [pass, show, x]}}, state: true, cache: true, permissions: [network], after: [db],
		ready: {port: 8080, within: 5sec}, health: {http: "http://127.0.0.1:8080/", every: 10sec, fails: 2}, restart: {when: always, delay: 2sec}, stop: {signal: INT, within: 20sec}},
		db: {run: [{name: db, pid: ` + pid + `}, db]}}`
	// more has the other fields.
	more = `{srv: {run: [{name: srv, pid: ` + pid + `}, srv, "{config}/a", "{runtime}", "{logs}"], listen: {http: "127.0.0.1:8080", admin: "unix:/run/srv.sock"}, ready: {http: "/", on: http},
		health: {http: "/health"}, limits: {memory: 128mb, tasks: 10, files: 100, cpu: "150%"}, reload: HUP, user: www-data, runtime: true, logs: true, config: {a: "100%", b: {c: [1sec, 1kb, true]}},
		after: [db], needs: [cache], native: {systemd: {Service: {Nice: "5"}, Unit: {Documentation: "man:srv(1)"}}}},
		v6: {run: [{name: srv, pid: ` + pid + `}, srv], listen: {main: "[::]:8081"}},
		db: {run: [{name: db, pid: ` + pid + `}, db], ready: {notify: true}, user: dynamic}, cache: {run: [{name: db, pid: ` + pid + `}, db]},
		daily: {run: [{name: job, pid: ` + pid + `}, job], every: {calendar: "mon,fri 03:00,15:30", jitter: 30min, missed: skip}},
		monthly: {run: [{name: job, pid: ` + pid + `}, job], every: {calendar: "1,15 04:05"}, user: job},
		often: {run: [{name: job, pid: ` + pid + `}, job], every: {interval: 90sec, jitter: 5sec}},
		local: {run: [{name: srv, pid: ` + pid + `}, srv], listen: {a: "unix:/run/with space/%h.sock", b: "127.0.0.1:8082"}, ready: {on: b}, stop: {signal: QUIT, within: 90sec}, state: {version: 3}},
		always: {run: [{name: srv, pid: ` + pid + `, version: "1.0~é$x"}, srv], restart: {when: always, delay: 10sec}, secrets: {a: {file: "/etc/a"}}, user: daemon, cache: true},
		needs: {run: [{name: srv, pid: ` + pid + `}, srv], after: [db, v6], needs: [always], limits: {memory: 1gb, cpu: "20%"}, user: dynamic, native: {systemd: {Service: {Slice: "a.slice"}}}},
		weekly: {run: [{name: job, pid: ` + pid + `}, job], every: {calendar: "sun 00:00"}, limits: {tasks: 3}, after: [db]}}`
)

func TestDecode(t *testing.T) {
	got, err := Decode([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	id, err := pir.ParsePID(strings.Trim(pid, `"`))
	if err != nil {
		t.Fatal(err)
	}
	want := []*Service{
		{
			Name: "db", Package: Package{PID: id, Name: "db"}, Command: "db", Env: map[string]string{}, Secrets: map[string]Secret{}, Ready: Ready{Within: 30 * time.Second},
			Restart: Restart{RestartFailure, time.Second}, Stop: Stop{"TERM", 10 * time.Second},
		},
		{
			Name: "web", Package: Package{PID: id, Name: "srv", Version: "1.2"}, Command: "srv", Args: []string{"--root", "{state}/site"},
			Env: map[string]string{"MODE": "100% of $HOME", "KEYS": "{credentials}/key"}, Secrets: map[string]Secret{"key": {File: "/etc/key"}, "other": {Run: []string{"pass", "show", "x"}}},
			State: true, Cache: true, Permissions: []string{"network"}, After: []string{"db"}, Ready: Ready{Check: Check{Port: 8080}, Within: 5 * time.Second},
			Health: Health{Check{HTTP: "http://127.0.0.1:8080/"}, 10 * time.Second, 2}, Restart: Restart{RestartAlways, 2 * time.Second}, Stop: Stop{"INT", 20 * time.Second},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	args, env, err := got[1].Expand(Folders{State: "/s", Cache: "/c", Credentials: "/k"})
	if err != nil || fmt.Sprint(args) != "[--root /s/site]" ||
		cmp.Diff([]string{"KEYS=/k/key", "MODE=100% of $HOME", "STATE_DIRECTORY=/s", "CACHE_DIRECTORY=/c", "CREDENTIALS_DIRECTORY=/k"}, env) != "" {
		t.Errorf("got %q, %q, %v", args, env, err)
	}
}

// TestRefuses has a wrong set for each rule.
func TestRefuses(t *testing.T) {
	const p = `{name: p, pid: ` + pid + `}`
	one := func(fields string) string { return `{web: {run: [` + p + `, srv], ` + fields + `}}` }
	for text, want := range map[string]string{
		`[1]`:                               "want a record of services",
		`{web: 1}`:                          `service "web": want a record`,
		`{"../x": {run: [` + p + `, s]}}`:   "want a name of lower-case letters",
		`{"nuka-x": {run: [` + p + `, s]}}`: "nuka's own",
		`{con: {run: [` + p + `, s]}}`:      "a device on Windows",
		`{"` + strings.Repeat("a", 64) + `": {run: [` + p + `, s]}}`: "at most 63",
		`{web: {}}`: "want [(PACKAGE) COMMAND ARGUMENT…]",
		`{web: {run: [{name: "p\nExecStartPre=/bin/sh", pid: ` + pid + `}, srv]}}`:     "characters that no package has",
		`{web: {run: [{name: p, version: "1` + "\x7f" + `", pid: ` + pid + `}, srv]}}`: "characters that no package has",
		`{web: {run: [srv, x]}}`:                                  "the first item is no package",
		`{web: {run: [{pid: "x"}, srv]}}`:                         "run: the package: ",
		`{web: {run: [` + p + `, "-x"]}}`:                         "is no name of a program",
		`{web: {run: [` + p + `, "@srv"]}}`:                       "is no name of a program",
		`{web: {run: [` + p + `, "a/b"]}}`:                        "is no name of a program",
		`{web: {run: [` + p + `, srv, 1]}}`:                       "item 3 is no text",
		one(`redy: {port: 1}`):                                    `there is no field "redy"; the fields are after, cache, config, env,`,
		one(`ready: {port: 1, within: 5}`):                        "ready: within: want a time",
		one(`ready: {within: -5sec}`):                             "more than 0",
		one(`ready: {port: 70000}`):                               "from 1 to 65535",
		one(`ready: {port: 1, tcp: 2}`):                           `ready: there is no field "tcp"`,
		one(`ready: {http: "http://example.org/"}`):               "an address of this machine",
		one(`ready: {http: "https://127.0.0.1/"}`):                "an address of this machine",
		one(`ready: {http: "http://127.0.0.1/", port: 3}`):        "no port beside it",
		one(`health: {every: 1sec}`):                              "health: want port or http",
		one(`health: {port: 1, fails: 0}`):                        "fails from 1 to 100",
		one(`restart: {when: sometimes}`):                         "want no, on-failure or always",
		one(`stop: {signal: KILL}`):                               "want one of TERM",
		one(`env: {"A B": x}`):                                    "no name of a variable",
		one(`env: {A: 1}`):                                        "env: A: want a text",
		one(`env: {A: "` + strings.Repeat("a", maxText+1) + `"}`): "more than 4096 bytes",
		one(`env: {TOKEN: ghp_abcdefghijklmnop}`):                 "use secrets",
		one(`env: {A: "{state}"}`):                                "names {state}, which the service does not have",
		one(`secrets: {"../x": {file: "/k"}}`):                    "no name of a file",
		one(`secrets: {k: {}}`):                                   "want either file or run",
		one(`secrets: {k: {file: "/k", run: [x]}}`):               "want either file or run",
		one(`secrets: {k: {file: "k"}}`):                          "want a whole path",
		one(`after: [db]`):                                        `there is no service "db"`,
		one(`after: [web]`):                                       "wait for one another: web after web",
		`{a: {run: [` + p + `, s], after: [b]}, b: {run: [` + p + `, s], after: [a]}}`:             "a after b after a",
		`{a: {run: [` + p + `, s], ready: {port: 1}}, b: {run: [` + p + `, s], ready: {port: 1}}}`: "services a and b are both ready on port 1",
		one(`listen: {http: "8080"}`):                                             "want an IP address and a port",
		one(`listen: {http: "localhost:8080"}`):                                   "want an IP address and a port",
		one(`listen: {http: "127.0.0.1:0"}`):                                      "want an IP address and a port",
		one(`listen: {http: "[::ffff:127.0.0.1]:80"}`):                            "want an IP address and a port",
		one(`listen: {"a:b": "127.0.0.1:80"}`):                                    "want a name of lower-case letters",
		one(`listen: {a: "unix:x"}`):                                              "no whole path",
		one(`listen: {a: "unix:/run/../x"}`):                                      "no whole path",
		one(`listen: {a: "unix:/run/x` + "\nExecStartPre=/bin/sh" + `"}`):         "no whole path",
		one(`listen: {a: "127.0.0.1:80", b: "127.0.0.1:80"}`):                     "are the same address",
		one(`listen: {a: "127.0.0.1:80", b: "127.0.0.1:81"}, ready: {http: "/"}`): "name the socket",
		one(`listen: {a: "127.0.0.1:80"}, ready: {on: b}`):                        `there is no socket "b"`,
		one(`listen: {a: "127.0.0.1:80"}, ready: {on: a, port: 1}`):               "no port beside it",
		one(`ready: {http: "/"}`):                                                 "name the socket",
		one(`ready: {notify: true, port: 1}`):                                     "either notify or a check",
		one(`state: {version: 0}`):                                                "state: version: want a number from 1 to",
		one(`state: {version: "2"}`):                                              "state: version: want a number",
		one(`state: {backup: true}`):                                              `state: there is no field "backup"`,
		one(`state: 2`):                                                           "state: want true, false or",
		one(`limits: {memory: 1}`):                                                "a size such as",
		one(`limits: {memory: 1kb}`):                                              "at least 1mb",
		one(`limits: {tasks: 0}`):                                                 "from 1 to",
		one(`limits: {files: 3}`):                                                 "from 64 to",
		one(`limits: {cpu: "2"}`):                                                 "a share of one processor",
		one(`limits: {disk: 1gb}`):                                                `no field "disk"`,
		one(`every: {calendar: "3am"}`):                                           "no time of a day",
		one(`every: {calendar: "24:00"}`):                                         "no time of a day",
		one(`every: {calendar: "some 03:00"}`):                                    "no day",
		one(`every: {calendar: "mon,1 03:00"}`):                                   "either weekdays or days",
		one(`every: {calendar: "03:00", interval: 1hr}`):                          "either calendar or interval",
		one(`every: {}`):                                                          "either calendar or interval",
		one(`every: {interval: 1min, jitter: 2min}`):                              "a shorter jitter",
		one(`every: {interval: 1min, missed: maybe}`):                             "want run or skip",
		one(`every: {interval: 1min}, listen: {a: "127.0.0.1:80"}`):               "a job has no listen",
		one(`reload: KILL`):                                                       "want one of TERM",
		one(`user: "x\nExecStartPre=/bin/sh"`):                                    "the name of a user",
		one(`config: {"../x": y}`):                                                "no name of a file",
		one(`config: {k: "ghp_abcdefghijklmnop"}`):                                "use secrets",
		one(`config: {k: "` + strings.Repeat("a", maxConfig+1) + `"}`):            "more than 524288 bytes",
		one(`native: {upstart: {a: {b: c}}}`):                                     "want systemd",
		one(`native: {systemd: {Service: {ExecStartPre: "/bin/sh"}}}`):            "ExecStartPre is nuka's",
		one(`native: {systemd: {Service: {Nice: "5\nExecStartPre=/bin/sh"}}}`):    "a text of one line",
		one(`native: {systemd: {Install: {Nice: "5"}}}`):                          "want Unit or Service",
		one(`needs: [db]`):                                                        `there is no service "db"`,
		`{a: {run: [` + p + `, s], listen: {x: "127.0.0.1:80"}}, b: {run: [` + p + `, s], listen: {y: "127.0.0.1:80"}}}`: "services a and b both listen at 127.0.0.1:80",
		strings.Repeat(" ", MaxFile+1): "more than 1048576 bytes",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 700 {
			t.Errorf("%.200s: got %v, want %q", text, err, want)
		}
	}
}

// TestShellWords runs the scripts of runit and s6: the launcher gets each word as it is.
func TestShellWords(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	set, err := Decode([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	launcher := filepath.Join(dir, "print")
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\nprintf '%s\\n' \"$NUKA_HOME\" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	words := []string{"a b", "100%n $HOME ${X} `id` $(id)", `q"u'o\te`, "", "-x", "é\tü", "; touch " + dir + "/made"}
	for _, m := range []string{"runit", "s6"} {
		units, err := Units(m, set[1], &Launcher{Argv: append([]string{launcher}, words...), Env: []string{"NUKA_HOME=/it's $HOME"}})
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, m)
		if err := os.WriteFile(at, []byte(units[0].Text), 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", at).Output()
		if want := "/it's $HOME\n" + strings.Join(words, "\n") + "\n"; err != nil || string(out) != want {
			t.Errorf("%s: got %q, %v, want %q", m, out, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("a word was run")
	}
}

func TestWritten(t *testing.T) {
	for _, text := range []string{marked("#!/bin/sh\nx\n"), marked("[Unit]\nA=b\n"), marked("# c\nx\n")} {
		if !Written(text) || Written(strings.Replace(text, "x", "y", 1)) && strings.Contains(text, "x") || Written(text+"z\n") {
			t.Errorf("%q is not recognised, or recognised when it was changed", text)
		}
	}
	for _, text := range []string{"", "# nuka \n", "x\ny\nz\n", "# nuka 00\nx\n"} {
		if Written(text) {
			t.Errorf("%q is taken for nuka's", text)
		}
	}
}

func TestNext(t *testing.T) {
	r := Restart{RestartAlways, 3 * time.Second}
	for n, want := range map[int]time.Duration{0: 3 * time.Second, 1: 6 * time.Second, 4: 48 * time.Second, 5: MaxDelay, 1 << 30: MaxDelay} {
		if got := r.Next(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(more))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Decode(text)
		if err != nil {
			return
		}
		for _, s := range set {
			if _, _, err := s.Expand(Folders{State: "/s"}); err != nil {
				t.Error(err)
			}
			for _, m := range Managers() {
				units, err := Units(m, s, &Launcher{Argv: []string{"/nuka", s.Name}})
				if err != nil && (s.User != "" || m == Windows) {
					continue
				}
				if err != nil || len(units) == 0 || !filepath.IsLocal(filepath.FromSlash(units[0].Path)) {
					t.Errorf("%s: %v, %v", m, units, err)
				}
			}
		}
	})
}
