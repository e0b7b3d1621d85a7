package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCauses checks the diagnosis of systems that this machine is not.
func TestCauses(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		err      error
		what     string
		fix      string
	}{
		{map[string]string{"sys/kernel/unprivileged_userns_clone": "0", "sys/user/max_user_namespaces": "1"}, unix.EPERM, "unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "1", "sys/user/max_user_namespaces": "1"}, unix.EACCES, "AppArmor", "apparmor_parser -r"},
		{map[string]string{"sys/user/max_user_namespaces": "0"}, unix.ENOSPC, "max_user_namespaces is 0", "sysctl -w user.max_user_namespaces"},
		{map[string]string{"sys/user/max_user_namespaces": "100"}, unix.ENOSPC, "(100)", "end other sandboxes"},
		{map[string]string{}, unix.EINVAL, "no user name spaces", "CONFIG_USER_NS"},
		{map[string]string{"sys/user/max_user_namespaces": "1", "self/status": "Name:\tx\nSeccomp:\t2\n"}, unix.EPERM, "seccomp", "seccomp=unconfined"},
		{map[string]string{"sys/user/max_user_namespaces": "1"}, unix.EPERM, "chroot", "outside of the chroot"},
	} {
		got := causes(c.err, func(name string) string { return c.settings[name] })
		if len(got) != 1 || !strings.Contains(got[0].What, c.what) || !strings.Contains(got[0].Fix, c.fix) {
			t.Errorf("%v, %v: got %+v", c.settings, c.err, got)
		}
	}
	e := &ForbiddenError{Err: unix.EPERM, Causes: []Cause{{appArmor, "load the profile"}}, Profile: AppArmorProfile()}
	if h := e.Hint(); !strings.Contains(h, "userns,") || !strings.Contains(h, "load the profile") || !errors.Is(e, unix.EPERM) {
		t.Errorf("got %q", h)
	}
}

// TestSealedCopy checks that the copy of the launcher from which it is executed without Landlock cannot be written, and starts.
func TestSealedCopy(t *testing.T) {
	p, release, err := sealedCopy([]byte("#!/bin/sh\nexit 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err == nil {
		defer f.Close()
		if _, err = f.Write([]byte("x")); err == nil {
			t.Error("it can be written")
		}
	}
	if err := os.Truncate(p, 0); err == nil {
		t.Error("it can be emptied")
	}
}

// TestGroupFiles checks the choice of control groups against trees of other machines.
func TestGroupFiles(t *testing.T) {
	mounts := groupMounts("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n31 24 0:27 / /cg/mem rw - cgroup cgroup rw,memory\n32 24 0:28 /sub /cg/other rw - cgroup cgroup rw,pids\nbroken\n")
	if len(mounts) != 2 || mounts[""] != "/sys/fs/cgroup" || mounts["memory"] != "/cg/mem" {
		t.Errorf("got %v", mounts)
	}
	point := t.TempDir()
	for name, text := range map[string]string{"user/app/cgroup.subtree_control": "memory pids", "user/app/cgroup.procs": "", "user/app/scope/cgroup.subtree_control": "", "user/app/scope/cgroup.procs": ""} {
		p := filepath.Join(point, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	l := Limits{Memory: 1 << 20, Processes: 5}
	if got, want := groupParent(point, "/user/app/scope", 2, l.files(2)), filepath.Join(point, "user/app"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l.CPUs = 1.5
	if got := groupParent(point, "/user/app/scope", 2, l.files(2)); got != "" {
		t.Errorf("got %q, where no group has the controller cpu", got)
	}
	if got := l.files(2)[2]; got.name != "cpu.max" || got.value != "150000 100000" {
		t.Errorf("got %+v", got)
	}
}
