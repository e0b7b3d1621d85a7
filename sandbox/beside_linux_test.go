package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBeside runs each attack in a sandbox of nuka, of bubblewrap and of Flatpak, as an ordinary user, and prints the table of docs/sandbox.md.
// If NUKA_SANDBOX_TABLE names a file, it gets the table.
func TestBeside(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG to compare with bubblewrap and Flatpak")
	}
	if os.Geteuid() == 0 {
		t.Skip("this is a comparison as an ordinary user")
	}
	needSpaces(t)
	t.Setenv("NUKA_SANDBOX_SECRET", "1")
	h := newHost(t)
	attacks := append(h.attacks(), probeOf("i386"))
	names := []string{"nuka"}
	ways := []func(a attack) string{func(a attack) string {
		return mustRun(t, h.box(), append([]string{"probe"}, a.args...)...).out
	}}
	if version, err := exec.Command("bwrap", "--version").Output(); err == nil {
		names = append(names, strings.TrimSpace(string(version))+" --unshare-all")
		ways = append(ways, func(a attack) string {
			out, _ := exec.Command("bwrap", append([]string{"--unshare-all", "--die-with-parent", "--ro-bind", bin, "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
				"--bind", h.granted, "/granted", "--ro-bind", h.readOnly, "/ro", "probe"}, a.args...)...).Output()
			return string(out)
		})
	}
	if version, err := exec.Command("flatpak", "--version").Output(); err == nil {
		results, err := flatpak(t, h, attacks)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSpace(string(version)))
		ways = append(ways, func(a attack) string { return results[a.name] })
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| attack | %s |\n|---%s|\n", strings.Join(names, " | "), strings.Repeat("|---", len(names)))
	var all []string
	for _, a := range attacks {
		var cells []string
		allowed := false
		for _, way := range ways {
			cell := "?"
			switch out := way(a); {
			case strings.HasPrefix(out, "denied: "):
				cell = "denied"
			case strings.HasPrefix(out, "ALLOWED: "):
				cell, allowed = "**allowed**", true
			default:
				t.Errorf("%s: got %q", a.name, out)
			}
			cells = append(cells, cell)
		}
		name := strings.ReplaceAll(strings.ReplaceAll(a.name, h.dir, "…"), h.pid, "PID")
		if allowed {
			fmt.Fprintf(&table, "| %s | %s |\n", name, strings.Join(cells, " | "))
		} else {
			all = append(all, name)
		}
	}
	fmt.Fprintf(&table, "\nDenied by all (%d): %s.\n", len(all), strings.Join(all, "; "))
	t.Log("\n" + table.String())
	if p := os.Getenv("NUKA_SANDBOX_TABLE"); p != "" {
		if err := os.WriteFile(p, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// flatpak makes a runtime and an application with the probe, and runs the attacks in it. Its grants are two folders, as those of the other boxes.
func flatpak(t *testing.T, h *host, attacks []attack) (map[string]string, error) {
	dir := folder(t)
	files := map[string]string{
		"rt/metadata": "[Runtime]\nname=org.nuka.Base\n", "rt/usr/.keep": "", "rt/files/.keep": "",
		"app/metadata": "[Application]\nname=org.nuka.Probe\nruntime=org.nuka.Base/x86_64/1\ncommand=probe\n", "app/export/.keep": "", "app/files/bin/.keep": "", "run/.keep": "",
	}
	put(t, dir, files)
	b, err := os.ReadFile(filepath.Join(bin, "probe"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "app/files/bin/probe"), b, 0o755)
	}
	passwd, err2 := os.ReadFile("/etc/passwd")
	if err := errors.Join(err, err2, os.Chmod(filepath.Join(dir, "run"), 0o700)); err != nil {
		return nil, err
	}
	put(t, dir, map[string]string{"passwd": string(passwd) + fmt.Sprintf("probe:x:%d:%d::%s:/bin/sh\n", os.Getuid(), os.Getgid(), dir)})
	env := append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"), "XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "NUKA_SANDBOX_PASSWD="+filepath.Join(dir, "passwd"))
	command := func(script string, args ...string) ([]byte, error) {
		c := callerCommand(t, "flatpak", append([]string{"dbus-run-session", "--", "sh", "-c", "cd " + dir + "; export DBUS_SYSTEM_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS; " + script, "sh"}, args...)...)
		c.Env = append(env, c.Env[len(os.Environ()):]...)
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}}
		var stderr bytes.Buffer
		c.Stderr = &stderr
		c.WaitDelay = time.Second // services that D-Bus started keep the output open
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s %s", err, out, stderr.Bytes())
		}
		return out, err
	}
	if _, err := command("set -e; flatpak build-export --runtime --files=usr repo rt 1; flatpak build-export repo app 1; flatpak --user remote-add --no-gpg-verify test repo; " +
		"flatpak --user install -y --noninteractive test org.nuka.Base//1; flatpak --user install -y --noninteractive test org.nuka.Probe//1"); err != nil {
		return nil, err
	}
	var script strings.Builder
	for _, a := range attacks {
		fmt.Fprintf(&script, "printf '\\0%s\\n'; flatpak --user run --no-session-bus --no-a11y-bus --no-documents-portal --filesystem=%s --filesystem=%s:ro org.nuka.Probe//1", strings.ReplaceAll(a.name, "'", "_"), h.granted, h.readOnly)
		for _, arg := range a.args {
			for inside, outside := range map[string]string{"/granted": h.granted, "/ro": h.readOnly, "/bin/new": "/app/bin/new"} {
				if arg == inside || strings.HasPrefix(arg, inside+"/") {
					arg = outside + strings.TrimPrefix(arg, inside)
				}
			}
			fmt.Fprintf(&script, " '%s'", arg)
		}
		script.WriteString(" </dev/null\n")
	}
	out, _ := command(script.String())
	results := map[string]string{}
	for _, part := range strings.Split(string(out), "\x00") {
		name, result, _ := strings.Cut(part, "\n")
		for _, a := range attacks {
			if strings.ReplaceAll(a.name, "'", "_") == name {
				results[a.name] = result
			}
		}
	}
	return results, nil
}

// becomeFlatpakCaller covers the list of users with one that has this user, because D-Bus asks for it, and executes a command.
func becomeFlatpakCaller(argv []string) error {
	p, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Mount(os.Getenv("NUKA_SANDBOX_PASSWD"), "/etc/passwd", "", unix.MS_BIND, ""), unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)); err != nil {
		return err
	}
	return syscall.Exec(p, argv, os.Environ())
}
