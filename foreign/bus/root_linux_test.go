package bus

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inRoot prepares a command to run below a root of its own, which has the file /.flatpak-info and the binds. It stands for the sandbox: the tests
// are about what the bus and the portals let through.
func inRoot(t *testing.T, cmd *exec.Cmd, info []byte, binds ...Bind) {
	t.Helper()
	root := folder(t)
	text := filepath.Join(folder(t), "info")
	if err := os.WriteFile(text, info, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := []string{text + "\t/.flatpak-info", os.Args[0] + "\t/program"}
	for _, b := range binds {
		lines = append(lines, b.Source+"\t"+b.Target)
	}
	cmd.Env = append(cmd.Env, "BUS_ROOT="+root, "BUS_BINDS="+strings.Join(lines, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
}

// enterRoot moves this process below the root that inRoot described, in the mount name space that it already has.
func enterRoot() error {
	root := os.Getenv("BUS_ROOT")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for line := range strings.Lines(os.Getenv("BUS_BINDS")) {
		source, target, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		target = filepath.Join(root, target)
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			err = os.WriteFile(target, nil, 0o600)
		}
		if err != nil {
			return err
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return &os.PathError{Op: "bind", Path: source, Err: err}
		}
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	return os.Chdir("/")
}
