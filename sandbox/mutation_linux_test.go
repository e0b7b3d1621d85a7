package sandbox_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An edit replaces text in a file of this project, which must contain it once.
type edit struct{ file, old, new string }

// A mutation removes a defence, and names a test that must fail then. If a second wall stands behind the defence, both are removed.
type mutation struct {
	name  string
	test  string // a pattern for -test.run
	edits []edit
}

const (
	callsFile   = "sandbox/inside/calls_linux.go"
	confineFile = "sandbox/inside/confine_linux.go"
	mountFile   = "sandbox/inside/mount_linux.go"
	procFile    = "sandbox/inside/proc_linux.go"
	treeFile    = "sandbox/inside/tree_linux.go"
	mainFile    = "sandbox/inside/main_linux.go"
	runFile     = "sandbox/inside/run_linux.go"
	startFile   = "sandbox/start_linux.go"
	filterFile  = "internal/seccomp/filter_linux.go"
)

// Defences that stand behind others.
var (
	noSeccomp  = edit{confineFile, `return fail("filter system calls", "", programFilter(b.families()).Load())`, "return nil"}
	noLandlock = edit{confineFile, `return fail("restrict files with Landlock", "", llsyscall.LandlockRestrictSelf(rules, 0))`, "return nil"}
	keepCaps   = edit{confineFile, "	if b.spaces {\n		if err := dropCapabilities(); err != nil {\n			return err\n		}\n	}\n", ""}
	dumpable   = edit{confineFile, "unix.PR_SET_DUMPABLE, 0,", "unix.PR_SET_DUMPABLE, 1,"}
	moreSpaces = edit{procFile, `writeAt(t.proc, "sys/user/max_user_namespaces", "0")`, "error(nil)"}
	hostProc   = edit{procFile, `newMount("proc", attr, "hidepid", "2")`, `unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE|0*attr)`}
	aloneOff   = edit{treeFile, "root.Dev != above.Dev || root.Ino != above.Ino", "false"}
	roRootOff  = edit{treeFile, "setAttr(t.root, 0, unix.MOUNT_ATTR_RDONLY)", "error(nil)"}
)

// allow removes a call from the filter.
func allow(call string) edit { return edit{callsFile, "unix.SYS_" + call + ",", ""} }

// without removes a name space.
func without(flag string) edit { return edit{startFile, " | unix." + flag, ""} }

// mutations lists the defences. One attack of TestAttacks is named by its name, with _ for spaces.
var mutations = []mutation{
	{"detaching the tree of the host", "TestAttacks/read_a_file_of_the_host_with_many", []edit{{treeFile, `unix.Unmount(".", unix.MNT_DETACH)`, "error(nil)"}, aloneOff, noLandlock}},
	{"detaching the tree of the host below the room for files", "TestHostGone/a_file_in_a_temporary", []edit{{treeFile, "layers = 2", "layers = 1"}, aloneOff}},
	{"dumpable: init's root", "TestAttacks/read_/proc/1/maps", []edit{dumpable, noLandlock}},
	{"dumpable: init's environment", "TestAttacks/read_/proc/1/environ", []edit{dumpable}},
	{"dumpable: init's file", "TestAttacks/opath_/proc/1/exe", []edit{dumpable, noLandlock}},
	{"process name space", "TestAttacks/signal_a_process_of_the_host", []edit{without("CLONE_NEWPID"), hostProc, noLandlock}},
	{"host name", "TestAttacks/know_the_name_of_the_host", []edit{{mainFile, "unix.Sethostname([]byte(host))", "error(nil)"}}},
	{"environment", "TestAttacks/read_a_variable_of_the_caller", []edit{{startFile, "Files: files, Env: []string{launcherProcs}, Sys", "Files: files, Sys"}, {runFile, "Env: b.spec.Env,", "Env: append(os.Environ(), b.spec.Env...),"}}},
	{"network name space: abstract sockets", "TestAttacks/connect_to_an_abstract_socket", []edit{{startFile, "if s.Net == NetNone {", "if false {"}, {mainFile, "if b.spec.Net == sandbox.NetNone {", "if false {"}, noLandlock}},
	{"network name space: loopback", "TestAttacks/connect_to_loopback", []edit{{startFile, "if s.Net == NetNone {", "if false {"}, {mainFile, "if b.spec.Net == sandbox.NetNone {", "if false {"}}},
	{"Landlock's scope of abstract sockets", "TestHostNetwork", []edit{{confineFile, "llsyscall.ScopeAbstractUnixSocket | ", ""}}},
	{"Landlock's scope of signals", "TestSignalGroup", []edit{{confineFile, " | llsyscall.ScopeSignal", ""}}},
	{"IPC name space: memory", "TestAttacks/find_shared_memory", []edit{without("CLONE_NEWIPC")}},
	{"IPC name space: queues", "TestAttacks/open_a_message_queue", []edit{without("CLONE_NEWIPC"), noLandlock}},
	{"session keyring", "TestAttacks/find_a_key", []edit{{confineFile, "unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)", "0, error(nil)"}, allow("KEYCTL")}},
	{"closing inherited descriptors", "TestAttacks/use_an_inherited_descriptor", []edit{{mainFile, "unix.CloseRange(uint(sandbox.FirstExtraFD+b.spec.Extra), ^uint(0)>>1, 0)", "error(nil)"}, {runFile, "unix.CloseRange(sandbox.ControlFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)", "error(nil)"}}},
	{"folders as descriptors", "TestDescriptors", []edit{{mainFile, "st.Mode&unix.S_IFMT == unix.S_IFDIR", "false"}}},
	{"read-only settings of the kernel", "TestAttacks/write_/proc/(sys|irq|pressure)", []edit{{procFile, "setAttr(fd, unix.AT_RECURSIVE, unix.MOUNT_ATTR_RDONLY)", "error(nil)"}, noLandlock}},
	{"covers over parts of /proc", "TestAttacks/read_/proc/(key|kall|timer|int)", []edit{{procFile, "err = cover(proc, name, st.Mode&unix.S_IFMT == unix.S_IFDIR)", ""}}},
	{"read-only folders", "TestAttacks/create_/ro/new", []edit{{mountFile, "	if m.Kind == sandbox.RO {\n", "	if false {\n"}, noLandlock}},
	{"read-only folders: by descriptor", "TestAttacks/create-by-descriptor", []edit{{mountFile, "	if m.Kind == sandbox.RO {\n", "	if false {\n"}, noLandlock}},
	{"read-only folders: modes", "TestAttacks/chmod", []edit{{mountFile, "	if m.Kind == sandbox.RO {\n", "	if false {\n"}}},
	{"read-only root", "TestAttacks/create_/new", []edit{roRootOff, noLandlock}},
	{"read-only /dev", "TestAttacks/create_/dev/new", []edit{{procFile, "setAttr(dev, 0, unix.MOUNT_ATTR_RDONLY)", "error(nil)"}}},
	{"capabilities and seccomp: remount", "TestAttacks/mount-ro", []edit{keepCaps, noSeccomp, noLandlock}},
	{"capabilities and seccomp: mount", "TestAttacks/mount-(tmp|proc|bind)", []edit{keepCaps, noSeccomp, noLandlock}},
	{"capabilities and seccomp: umount", "TestAttacks/umount", []edit{keepCaps, noSeccomp, noLandlock}},
	{"capabilities and seccomp: chroot", "TestAttacks/chroot", []edit{keepCaps, noSeccomp}},
	{"capabilities and seccomp: host name", "TestAttacks/hostname", []edit{keepCaps, noSeccomp}},
	{"capabilities and seccomp: cgroup name space", "TestAttacks/unshare-cgroup", []edit{keepCaps, noSeccomp}},
	{"capabilities and seccomp: network name space", "TestAttacks/unshare-net", []edit{keepCaps, noSeccomp}},
	{"capabilities", "TestAttacks/capset", []edit{keepCaps}},
	{"bounding set", "TestAttacks/bounding-set", []edit{{confineFile, "unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)", "error(unix.EINVAL)"}}},
	{"no new privileges", "TestAttacks/new-privileges", []edit{noSeccomp, noLandlock, {confineFile, "unix.PR_SET_NO_NEW_PRIVS, 1,", "unix.PR_GET_NO_NEW_PRIVS, 0,"}}},
	{"set-user-ID files", "TestSetUserID", []edit{noSeccomp, noLandlock, {confineFile, "unix.PR_SET_NO_NEW_PRIVS, 1,", "unix.PR_GET_NO_NEW_PRIVS, 0,"}, {mountFile, "attr := uint64(unix.MOUNT_ATTR_NOSUID)", "attr := uint64(0)"},
		{startFile, "UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: host.uid, Size: 1}},", "UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0 * uid, Size: 65536}},"}}},
	{"devices in folders", "TestDeviceInFolder", []edit{{mountFile, "attr |= unix.MOUNT_ATTR_NODEV", ""}}},
	{"user name spaces: unshare", "TestAttacks/unshare-user", []edit{allow("UNSHARE")}},
	{"user name spaces: clone", "TestAttacks/clone-user", []edit{{callsFile, "add(unix.SYS_CLONE, eperm)", ""}, moreSpaces}},
	{"user name spaces: clone3", "TestAttacks/clone3-user", []edit{allow("CLONE3"), moreSpaces}},
	{"name spaces through /proc", "TestAttacks/setns_/proc/self", []edit{allow("SETNS"), keepCaps}},
	{"tracing", "TestAttacks/ptrace$", []edit{allow("PTRACE")}},
	{"memory of processes", "TestAttacks/process-vm", []edit{allow("PROCESS_VM_READV")}},
	{"descriptors of processes", "TestAttacks/pidfd-getfd-call", []edit{allow("PIDFD_GETFD")}},
	{"files by handle", "TestAttacks/handle-call", []edit{allow("OPEN_BY_HANDLE_AT")}},
	{"keys", "TestAttacks/keys-add", []edit{allow("ADD_KEY")}},
	{"perf", "TestAttacks/perf", []edit{allow("PERF_EVENT_OPEN")}},
	{"userfaultfd", "TestAttacks/userfaultfd", []edit{allow("USERFAULTFD")}},
	{"io_uring", "TestAttacks/io-uring", []edit{allow("IO_URING_SETUP")}},
	{"fanotify", "TestAttacks/fanotify", []edit{allow("FANOTIFY_INIT")}},
	{"mount calls: open_tree", "TestAttacks/open-tree", []edit{allow("OPEN_TREE")}},
	{"mount calls: fsopen", "TestAttacks/fsopen", []edit{allow("FSOPEN"), keepCaps}},
	{"mount calls: mount_setattr", "TestAttacks/mount-setattr", []edit{allow("MOUNT_SETATTR"), keepCaps}},
	{"memory policies", "TestAttacks/mempolicy", []edit{allow("GET_MEMPOLICY")}},
	{"comparing processes", "TestAttacks/kcmp", []edit{allow("KCMP")}},
	{"personalities", "TestAttacks/personality", []edit{{callsFile, "add(unix.SYS_PERSONALITY, eperm)", ""}}},
	{"families of sockets", "TestAttacks/socket_for_(netfilter|audit)", []edit{{callsFile, "add(unix.SYS_SOCKET, seccomp.Errno(unix.EAFNOSUPPORT))", ""}}},
	{"calls of another architecture", "TestForeignCalls", []edit{{filterFile, "	c.answer(Kill)\n", "	c.answer(Allow)\n"}}},
	{"typing into the terminal", "TestTerminalInjection", []edit{{callsFile, "unix.TIOCSTI, unix.TIOCLINUX", "unix.TIOCLINUX"}}},
	{"the upper half of an argument", "TestTerminalInjection", []edit{{callsFile, "seccomp.One(1, seccomp.Int, unix.TIOCSTI", "seccomp.One(1, ^uint64(0), unix.TIOCSTI"}}},
	{"links in sources", "TestRefusedMounts", []edit{{treeFile, "var onHost = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}", "var onHost = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}"}}},
	{"links in sources: race", "TestReplacedSource", []edit{{treeFile, "var onHost = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}", "var onHost = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}"}}},
	{"binding what was opened", "TestReplacedSource", []edit{{mountFile, `return clone(from, "", attr, m.Source)`, "return clone(unix.AT_FDCWD, m.Source, attr, m.Source)"}}},
	{"links in targets", "TestRefusedMounts", []edit{{treeFile, "unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS", "0"}}},
	{"creating nothing on the host", "TestRefusedMounts", []edit{{treeFile, "if !t.own[st.Dev] {", "if false {"}}},
	{"the launcher's file", "TestLauncherFile", []edit{noLandlock}},
	{"limit of processes", "TestProcesses", []edit{{"sandbox/group_linux.go", "if l.Processes > 0 {", "if false {"}, {runFile, "if l.Processes > 0 && os.Geteuid() != 0 {", "if false {"}, {procFile, "if n := b.spec.Limits.Processes; n > 0 {", "if n := 0; n > 0 {"}}},
	{"limit of memory", "TestMemory", []edit{{"sandbox/group_linux.go", "if l.Memory > 0 {", "if false {"}, {runFile, "if l.Memory > 0 {", "if false {"}}},
	{"ending with the program", "TestNothingOutlives/program", []edit{without("CLONE_NEWPID"), hostProc}},
	{"ending with the caller", "TestNothingOutlives/caller", []edit{{runFile, "if b.spec.Outlive {", "if true {"}}},
	{"Landlock in the fallback", "TestForbidden", []edit{noLandlock}},
	{"fallback only when asked for", "TestForbidden", []edit{{startFile, "errors.As(err, &forbidden) && s.Fallback", "errors.As(err, &forbidden)"}}},
	{"targets of the fallback", "TestForbidden$", []edit{{confineFile, "	if !b.spaces {\n		return b.hostRights()\n	}\n	out := []fileRight{{\"/\", llRead}}\n", "	out := []fileRight{{\"/\", llRead}}\n	if !b.spaces {\n		out[0].path = \"/usr\"\n	}\n"}}},
	{"sockets of the fallback", "TestFallbackSockets", []edit{{confineFile, "	case b.spaces:\n		return append", "	case true:\n		return append"}}},
	{"systems that forbid it inside", "TestForbiddenInside", []edit{{startFile, `e.Step == "separate the mounts"`, "false"}}},
	{"orphans of the fallback", "TestFallbackOrphans", []edit{{runFile, "	if !b.spaces {\n		b.killChildren()\n	}\n	b.report", "	b.report"}}},
	{"following a stopped program", "TestJobControl", []edit{{startFile, "			stopSelf()\n", ""}}},
	{"the terminal's foreground group", "TestJobControl", []edit{{"sandbox/process.go", "	defer keepTerminal()()\n", ""}}},
	{"signals of the terminal once", "TestJobControl", []edit{{"sandbox/terminal_linux.go", "notify(c.swallowed, syscall.SIGINT, syscall.SIGQUIT)", ""}}},
	{"unknown fields", "TestSpecRefused", []edit{{"sandbox/wire.go", "	d.DisallowUnknownFields()\n", ""}}},
	{"the sealed copy of the launcher", "TestSealedCopy", []edit{{startFile, "unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)", "0, error(nil)"}}},
	{"group removal", "TestGroupsRemoved", []edit{{startFile, "	p.removeGroups()\n", ""}}},
}

// TestMutations builds the package, its launcher and these tests without one defence after the other, and checks that the test of that defence fails.
// With NUKA_MUTATION=TEXT it does so for the mutations whose names contain the text.
func TestMutations(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" && os.Getenv("NUKA_MUTATION") == "" {
		t.Skip("set NUKA_LONG to build each mutation")
	}
	if os.Getenv("NUKA_SANDBOX_BIN") != "" {
		t.Skip("each mutation runs as both users already")
	}
	for _, m := range mutations {
		if !strings.Contains(m.name, os.Getenv("NUKA_MUTATION")) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			dir := folder(t)
			overlay := overlayOf(t, dir, m.edits)
			tests := filepath.Join(dir, "tests")
			c := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", tests, ".")
			c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
			if b, err := c.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, b)
			}
			c = exec.Command(tests, "-test.run", m.test, "-test.v", "-test.timeout", "60s")
			c.Env = append(os.Environ(), "NUKA_SANDBOX_OVERLAY="+overlay, "NUKA_LONG=")
			out, err := c.CombinedOutput()
			var failed []string
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "--- FAIL") || strings.Contains(line, "got ") {
					failed = append(failed, strings.TrimSpace(line))
				}
			}
			if err == nil {
				t.Errorf("%s passes without the defence\n%s", m.test, out)
			} else if len(failed) == 0 || strings.HasPrefix(m.test, "TestAttacks/") && !strings.Contains(string(out), "ALLOWED: ") {
				t.Errorf("%s did not fail, but ended: %v\n%s", m.test, err, out)
			} else {
				t.Log(strings.Join(failed[:min(len(failed), 3)], " | "))
			}
		})
	}
}

// overlayOf writes the edited files to dir, and the file for the flag -overlay of go build.
func overlayOf(t *testing.T, dir string, edits []edit) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, e := range edits {
		if texts[e.file] == "" {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			texts[e.file] = string(b)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			t.Fatalf("%s has %q %d times", e.file, e.old, n)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for name, text := range texts {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}
