package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pythonTeller says that it is ready two seconds after it has started, by the protocol of systemd.
const pythonTeller = `use lang/python.nu

const text = r##'#!/usr/bin/env python3
import os, signal, socket, time
time.sleep(2)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"READY=1")
signal.pause()
'##

export def main [] {
  let text = $text
  derivation {
    name: teller
    version: "1"
    platform: linux-x86_64-gnu
    runtime: (python)
    run: {runtime: true}
    build: {|b|
      mkdir $"($b.out)/bin"
      $text | save $"($b.out)/bin/teller"
      ^chmod 755 $"($b.out)/bin/teller"
    }
  }
}
`

// pythonServer is a package with an HTTP server in Python, which takes its socket as descriptor 3. Its version 3 cannot start. At /about it says what it can do in its
// sandbox.
const pythonServer = `use lang/python.nu

const text = r##'#!/usr/bin/env python3
import http.server, os, signal, socket, socketserver, sys, threading
if VERSION == 3:
    sys.exit("cannot read its configuration")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/exit":
            os._exit(3)
        body = {"/": answer, "/about": about}[self.path]().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def answer():
    return os.environ.get("GREETING", "hello") + ("" if VERSION == 1 else " of version %d" % VERSION)

def about():
    def tried(f):
        try:
            f()
            return "can"
        except OSError:
            return "cannot"
    return " ".join([
        "pid", str(os.environ["LISTEN_PID"] == str(os.getpid())),
        "state", tried(lambda: open(os.environ["STATE_DIRECTORY"] + "/x", "a").close()),
        "system", tried(lambda: open("/etc/x", "a").close()),
        "home", tried(lambda: os.listdir(os.environ["HOST_HOME"] + "/n")),
        "given", tried(lambda: open(os.environ["HOST_HOME"] + "/given/file").read()),
        "give", tried(lambda: open(os.environ["HOST_HOME"] + "/given/file", "a").close()),
        "secret", open(os.environ["CREDENTIALS_DIRECTORY"] + "/key").read(),
        "connect", tried(lambda: socket.create_connection(("127.0.0.1", int(os.environ["OTHER"])), 1).close()),
        "terminal", tried(lambda: os.open("/dev/tty", os.O_RDWR)),
        "processes", str(len([p for p in os.listdir("/proc") if p.isdigit()]) < 5),
    ])

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    def __init__(self):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket = socket.socket(fileno=3)

server = Server()
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("serving", flush=True)
server.serve_forever()
print("has ended in order", flush=True)
'##

export def main [--release: int = 1] {
  let text = ($text | str replace --all VERSION $"($release)")
  derivation {
    name: pyweb
    version: $"($release)"
    platform: linux-x86_64-gnu
    runtime: (python)
    run: {runtime: true}
    build: {|b|
      mkdir $"($b.out)/bin"
      $text | save $"($b.out)/bin/pyweb"
      ^chmod 755 $"($b.out)/bin/pyweb"
    }
  }
}
`

// TestServicesInRuntime has nuka services apply bring servers in Python into use under each service manager that runs here, in their sandbox: one that takes its socket
// from nuka, and Python's own, which may use the network and opens its port itself. It downloads the runtime, which is some 30 MB.
func TestServicesInRuntime(t *testing.T) {
	onlyLongAsRoot(t)
	h := newServicesHome(t)
	h.write("pyweb.nu", pythonServer)
	h.write("teller.nu", pythonTeller)
	address, port := freeAddress(t), strings.TrimPrefix(freeAddress(t), "127.0.0.1:")
	set := func(name, release, within, fields string) {
		at := h.write(name, `use lib/services.nu
use lang/python.nu
use ./pyweb.nu
use ./teller.nu
use ./tool.nu
export def main [] {
  services {
    db: {run: [(tool) tool sleep], ready: {within: 300ms}}
    teller: {run: [(teller) teller], ready: {notify: true, within: 1min}}
    files: {run: [(python) python3 -m http.server --bind "127.0.0.1" --directory "{state}" "`+port+`"], permissions: [network], state: true, limits: {tasks: 50}, ready: {port: `+port+`, within: 1min}}
    web: {run: [(pyweb --release `+release+`) pyweb], listen: {http: "`+address+`"}, after: [db], restart: {delay: 100ms}, state: true, ready: {http: "/", within: `+within+`}, permissions: ["files=`+h.home+`/given:ro"], secrets: {key: {file: "`+h.home+`/key"}}
      env: {OTHER: "`+port+`", HOST_HOME: "`+h.home+`"`+fields+`}}
  }
}
`)
		begin := time.Now()
		h.must("build", at)
		t.Logf("build %s: %s", name, time.Since(begin).Round(time.Millisecond))
	}
	if err := os.Mkdir(filepath.Join(h.home, "given"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.write("given/file", "x")
	h.write("key", "opensesame")
	set("one.nu", "1", "1min", "")
	set("field.nu", "1", "1min", `, GREETING: "good bye"`)
	set("two.nu", "2", "1min", `, GREETING: "good bye"`)
	set("hangs.nu", "3", "2sec", `, GREETING: "good bye"`)
	for _, kind := range appliedKinds {
		t.Run(kind, func(t *testing.T) {
			if err := os.RemoveAll(h.state); err != nil {
				t.Fatal(err)
			}
			h := *h
			h.t = t
			a := applyUnder(t, kind, &h, address)
			a.crashes(port)
			a.fields()
			a.reboots()
			a.removes()
		})
	}
}

// crashes brings both servers into use, and has them and the launcher of one end.
func (a *appliedTo) crashes(port string) {
	a.t.Helper()
	a.has(a.nuka(0, `apply --yes "$H/one.nu" `+a.flags), "web is ready", "files is ready", "teller is ready", "generation 1 of the services is in use")
	a.answers("hello")
	files := "http://127.0.0.1:" + port + "/"
	if got, err := get(a.http, files); err != nil || !strings.Contains(got, "Directory listing") {
		a.t.Errorf("files: got %q, %v", got, err)
	}
	const want = "pid True state can system cannot home cannot given can give cannot secret opensesame connect cannot terminal cannot processes True"
	if got, err := get(a.http, a.url+"about"); err != nil || got != want {
		a.t.Errorf("got %q, %v, want %q", got, err, want)
	}
	a.endsAndComesBack()
	if n := servers(a.t); n != 1 {
		a.t.Errorf("%d servers run after the launcher was killed, want 1", n)
	}
}

// servers counts the processes of the server, each in the PID name space of its sandbox.
func servers(t *testing.T) int {
	t.Helper()
	var spaces []string
	for _, at := range mustGlob("/proc/[0-9]*/cmdline") {
		text, err := os.ReadFile(at)
		if err != nil || !strings.Contains(string(text), "/bin/pyweb") || !strings.HasPrefix(string(text), "python3\x00") {
			continue
		}
		space, err := os.Readlink(filepath.Join(filepath.Dir(at), "ns/pid"))
		if err == nil && !slices.Contains(spaces, space) {
			spaces = append(spaces, space)
		}
	}
	return len(spaces)
}

// fields changes a field, upgrades the program, has an upgrade fail, and rolls back.
func (a *appliedTo) fields() {
	a.t.Helper()
	program := a.status("files").Program
	a.has(a.nuka(0, `plan "$H/field.nu"`), `restart web`, `env.GREETING: nothing → "good bye"`)
	a.has(a.nuka(0, `apply "$H/field.nu"`), "web restarts")
	a.answers("good bye")
	a.has(a.nuka(0, `plan "$H/two.nu"`), `restart web`)
	a.has(a.nuka(0, `apply "$H/two.nu"`), "web restarts")
	a.answers("good bye of version 2")
	begin := time.Now()
	a.has(a.nuka(7, `apply "$H/hangs.nu"`), "web ended 3 times before it was ready", "web | cannot read its configuration", "generation 4 failed, and generation 3 is in use again")
	a.t.Logf("a failed upgrade with a deadline of 2 s took %s", time.Since(begin).Round(time.Millisecond))
	a.answers("good bye of version 2")
	a.has(a.nuka(0, `history`), "* 3 ", "failed: web ended 3 times")
	a.has(a.nuka(0, `rollback 1`), "web restarts", "generation 1 of the services is in use")
	a.answers("hello")
	a.has(a.nuka(0, "logs web"), "serving", "has ended in order")
	if got := a.status("files").Program; got != program || got == 0 {
		a.t.Errorf("files was restarted: process %d, and %d before", got, program)
	}
}
