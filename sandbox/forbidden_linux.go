package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// forbids reports whether an error of starting a process in name spaces is the kernel's refusal of them.
func forbids(err error) bool {
	for _, e := range []error{unix.EPERM, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, unix.EACCES)
}

// diagnose returns a *ForbiddenError that names what forbids name spaces on this system.
func diagnose(err error) error {
	if !forbids(err) {
		return fmt.Errorf("sandbox: start the launcher: %w", err)
	}
	e := &ForbiddenError{Err: err, Causes: causes(err, readSetting)}
	for _, c := range e.Causes {
		if c.What == appArmor {
			e.Profile = AppArmorProfile()
		}
	}
	return e
}

// readSetting reads a file of /proc, or returns "" if it does not exist.
func readSetting(name string) string {
	b, err := os.ReadFile("/proc/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

const appArmor = "AppArmor restricts user name spaces: kernel.apparmor_restrict_unprivileged_userns is 1"

// causes lists the settings that forbid user name spaces, as read returns them.
func causes(err error, read func(name string) string) []Cause {
	var out []Cause
	add := func(what, fix string) { out = append(out, Cause{what, fix}) }
	if read("sys/kernel/unprivileged_userns_clone") == "0" {
		add("kernel.unprivileged_userns_clone is 0", "as root: sysctl -w kernel.unprivileged_userns_clone=1, and the same line without sysctl -w in /etc/sysctl.d/nuka.conf")
	}
	if read("sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
		add(appArmor, "as root: write the profile below to /etc/apparmor.d/nuka and run apparmor_parser -r /etc/apparmor.d/nuka; "+
			"or, for all programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
	}
	switch n := read("sys/user/max_user_namespaces"); {
	case n == "0":
		add("user.max_user_namespaces is 0", "as root: sysctl -w user.max_user_namespaces=15000, and the same line without sysctl -w in /etc/sysctl.d/nuka.conf")
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS):
		add("the limit user.max_user_namespaces ("+n+"), or another user.max_*_namespaces, is reached here", "end other sandboxes, or as root: sysctl -w user.max_user_namespaces=100000")
	case n == "":
		add("the kernel has no user name spaces", "use a kernel with CONFIG_USER_NS")
	}
	if strings.Contains(read("self/status"), "\nSeccomp:\t2") {
		add("a seccomp filter around this process, as containers and services have one, may forbid them",
			"start the container with --security-opt seccomp=unconfined, or take RestrictNamespaces= out of the service")
	}
	if len(out) == 0 && errors.Is(err, unix.EPERM) {
		add("a security module forbids them, or this process is in a chroot", "run nuka outside of the chroot; ask the administrator of the machine about user name spaces")
	}
	return out
}

// AppArmorProfile returns the text of a profile that lets this program create user name spaces, and restricts nothing else.
// It is for systems where AppArmor forbids name spaces to all programs without such a profile, as Ubuntu does since 23.10.
func AppArmorProfile() string {
	exe, err := os.Executable()
	if err != nil {
		exe = "/usr/local/bin/nuka"
	}
	name := filepath.Base(exe)
	return fmt.Sprintf("abi <abi/4.0>,\ninclude <tunables/global>\n\nprofile %s %s flags=(unconfined) {\n  userns,\n\n  include if exists <local/%s>\n}\n",
		name, quoteProfile(exe), name)
}

// quoteProfile quotes a path for AppArmor, where some signs are patterns.
func quoteProfile(p string) string {
	var b strings.Builder
	for _, r := range p {
		if strings.ContainsRune(`\*?[]{}^"@`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return `"` + b.String() + `"`
}
