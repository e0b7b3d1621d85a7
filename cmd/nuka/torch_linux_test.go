package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

// TestTorchPackage makes a package of a Python application that uses PyTorch, where PyTorch does not bundle libtorch: nuka lock finds libtorch and all that it needs. It
// downloads some 300 MB.
func TestTorchPackage(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it downloads the Python runtime and PyTorch: NUKA_LONG=1 go test ./cmd/nuka -run TestTorchPackage -timeout 1h")
	}
	newHome := func() string {
		home, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(home) })
		const config = `{listen: [/ip4/127.0.0.1/tcp/0, /ip4/127.0.0.1/udp/0/quic-v1], mdns: false, relay: false}`
		if err := os.WriteFile(filepath.Join(home, "config.nuon"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return home
	}
	home := newHome()
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/torch")); err != nil {
		t.Fatal(err)
	}
	nuka := func(args ...string) (string, error) {
		c := exec.Command(filepath.Join(programs, "nuka"), args...)
		c.Dir, c.Env = dir, append(os.Environ(), "NUKA_HOME="+home, "TERM=dumb", "PYTHONWARNINGS=ignore")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		err := c.Run()
		return out.String(), err
	}
	t.Cleanup(func() { nuka("daemon", "stop") }) //nolint:errcheck // the home goes
	check := func(want string, fails bool, args ...string) string {
		t.Helper()
		out, err := nuka(args...)
		if (err != nil) != fails || !strings.Contains(out, want) {
			t.Fatalf("nuka %q: %v, want %q in\n%s", args, err, want, out)
		}
		return out
	}
	const sum = "tensor([2., 2.])\n"

	out := check("for missing libraries", false, "lock", "./ones.nu", "--cooldown", "0")
	at := filepath.Join(dir, "ones.nuon")
	text, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	recording, err := ecosystem.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range recording.System {
		names[p.Name] = true
	}
	if !names["libtorch2.6"] || !names["libopenblas0-pthread"] || names["libtorch-test"] || len(recording.BuildSystem) > 0 {
		t.Errorf("the recording has %v and %v\n%s", names, recording.BuildSystem, out)
	}
	again := check("is there already", false, "lock", "./ones.nu")
	if after, err := os.ReadFile(at); err != nil || !bytes.Equal(text, after) || strings.Contains(again, "adding") {
		t.Errorf("a second lock changes the recording: %v\n%s", err, again)
	}

	check(sum, false, "run", "./ones.nu")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	check("Connection refused", true, "run", "./ones.nu", "--", "connect", port)
	check("connected\n"+sum, false, "run", "--allow", "network", "./ones.nu", "--", "connect", port)
	file := filepath.Join(outside, "file")
	if err := os.WriteFile(file, []byte("outside\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("No such file or directory", true, "run", "./ones.nu", "--", "read", file)
	check("outside\n"+sum, false, "run", "--allow", "files="+outside+":ro", "./ones.nu", "--", "read", file)

	// A second node receives it, with its runtime, and runs it with the permissions that it gives.
	first := home
	key := strings.Fields(check("key-", false, "key", "show"))[1]
	ticket := strings.TrimSpace(check("nuka", false, "share", "./ones.nu"))
	ticket = ticket[strings.LastIndexAny(ticket, " \n")+1:]
	home = newHome()
	check("", false, "trust", "add", key, "--yes")
	check("", false, "get", ticket)
	if out := check(sum, false, "run", "./ones.nu"); strings.Contains(out, "fetch") || strings.Contains(out, "build") {
		t.Errorf("the second node does not receive everything:\n%s", out)
	}
	check("No such file or directory", true, "run", "./ones.nu", "--", "read", file)
	if _, err := nuka("daemon", "stop"); err != nil {
		t.Error(err)
	}
	home = first

	recording.System = nil // without the look-up
	if text, err = recording.Encode(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, text, 0o644); err != nil {
		t.Fatal(err)
	}
	check("libtorch_global_deps.so", true, "run", "./ones.nu")
}
