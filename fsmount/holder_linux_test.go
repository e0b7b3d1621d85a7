package fsmount_test

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/pir"
)

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("%s: not within 20 seconds", what)
		}
	}
}

// answers reports whether a mount answers a question that the kernel cannot answer.
func answers(j *serveJob) bool {
	done := make(chan bool, 1)
	go func() {
		_, err := os.Lstat(filepath.Join(j.mount(), pir.PID{9}.String()))
		done <- os.IsNotExist(err)
	}()
	select {
	case ok := <-done:
		return ok
	case <-time.After(5 * time.Second):
		return false
	}
}

// TestHolderDies kills the holder: the daemon goes on, and another holder keeps the mount over the daemon's death.
func TestHolderDies(t *testing.T) {
	j, id, _ := newJob(t, false)
	cmd := j.start(t)
	j.await(t, id)
	first := holderOf(t, j.Dir)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !answers(j) {
		t.Fatal("the mount does not answer without its holder")
	}
	eventually(t, "another holder", func() bool { now := holderOf(t, j.Dir); return now != 0 && now != first })
	time.Sleep(300 * time.Millisecond) // it adopts the connection
	killed(t, cmd)
	cmd = j.start(t)
	if !answers(j) || mountCount(t, j.mount()) != 1 {
		t.Errorf("after both died: %d mounts", mountCount(t, j.mount()))
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "unmount", func() bool { return mountCount(t, j.mount()) == 0 })
}

// TestLinger kills the daemon: calls wait as long as the holder does, and then get an error. The mount goes.
func TestLinger(t *testing.T) {
	j, id, _ := newJob(t, false)
	j.Linger = time.Second
	cmd := j.start(t)
	j.await(t, id)
	killed(t, cmd)
	begun := time.Now()
	if answers(j) {
		t.Error("the mount answers without a daemon")
	}
	if took := time.Since(begun); took < 500*time.Millisecond || took > 4*time.Second {
		t.Errorf("a call waited for %v", took)
	}
	eventually(t, "unmount", func() bool { return mountCount(t, j.mount()) == 0 && holderOf(t, j.Dir) == 0 })
}

// TestStale kills daemon and holder at once, so that the mount has no process. The next daemon replaces it, and calls to the old one end.
func TestStale(t *testing.T) {
	j, id, _ := newJob(t, false)
	cmd := j.start(t)
	j.await(t, id)
	inside, err := os.Open(j.mount())
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close() //nolint:errcheck // a folder
	if err := unix.Kill(cmd.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(holderOf(t, j.Dir), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed(t, cmd)
	if answers(j) {
		t.Fatal("a mount without processes answers")
	}
	cmd = j.start(t)
	j.await(t, id)
	if n := mountCount(t, j.mount()); n != 1 {
		t.Errorf("%d mounts", n)
	}
	if _, err := inside.Readdirnames(-1); err == nil {
		t.Error("the old mount answers")
	}
	killed(t, cmd)
}

// TestDeadDaemon kills a daemon of which a thread waits for the mount. The holder ends the connection, so that the process can go.
func TestDeadDaemon(t *testing.T) {
	j, id, _ := newJob(t, false)
	j.Touch = true
	cmd := j.start(t)
	j.await(t, id)
	eventually(t, "a thread that waits", func() bool {
		list, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "task", "*", "wchan"))
		return slices.ContainsFunc(list, func(name string) bool { b, _ := os.ReadFile(name); return string(b) == "request_wait_answer" })
	})
	gone := make(chan struct{})
	go func() {
		killed(t, cmd)
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(15 * time.Second):
		t.Error("the process does not go")
		_ = unix.Unmount(j.mount(), unix.MNT_FORCE|unix.MNT_DETACH)
		<-gone
	}
}

// TestStopInUse stops the daemon while a file is open. The mount stays for the next daemon, which knows of the open file, and a daemon that ends
// when nothing is in use unmounts.
func TestStopInUse(t *testing.T) {
	j, id, tree := newJob(t, true)
	cmd := j.start(t)
	j.await(t, id)
	f, err := os.Open(filepath.Join(j.mount(), id.String(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		t.Helper()
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon ends with %v", err)
		}
	}
	stop()
	if n := mountCount(t, j.mount()); n != 1 {
		t.Fatalf("%d mounts while a file is open", n)
	}
	cmd = j.start(t)
	b := make([]byte, 100)
	if _, err := f.ReadAt(b, 5<<20); err != nil || string(b) != string(tree["big"].Data[5<<20:5<<20+100]) {
		t.Errorf("read from the next daemon: %v", err)
	}
	stop() // the next daemon knows that the file is open
	if n := mountCount(t, j.mount()); n != 1 {
		t.Fatalf("%d mounts while a file is open since an earlier daemon", n)
	}
	cmd = j.start(t)
	if !answers(j) {
		t.Error("the third daemon does not answer")
	}
	f.Close() //nolint:errcheck // it was only read
	stop()
	eventually(t, "unmount", func() bool { return mountCount(t, j.mount()) == 0 && holderOf(t, j.Dir) == 0 })
	if left, _ := filepath.Glob(filepath.Join(j.Dir, "mount-opens-*")); len(left) > 0 {
		t.Errorf("tables of open files are left: %v", left)
	}
}

// TestHostileHolder sends a daemon what no holder sends. It refuses, and serves on.
func TestHostileHolder(t *testing.T) {
	j, id, _ := newJob(t, false)
	cmd := j.start(t)
	defer killed(t, cmd)
	j.await(t, id)
	device, err := unix.Open(fsmount.Device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(device) //nolint:errcheck // it is not connected
	file, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	zero := int(file.Fd())
	hello := func(version int, id string, init []byte) []byte {
		b, err := json.Marshal(map[string]any{"version": version, "id": id, "path": j.mount(), "init": init})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	init := make([]byte, 104)
	for at, v := range map[int]uint32{0: 104, 4: 26, 8: 1, 40: 7, 44: 45} { // length, INIT, its number, the version of the protocol
		binary.LittleEndian.PutUint32(init[at:], v)
	}
	for name, m := range map[string]struct {
		text []byte
		fds  []int
	}{
		"no descriptor":      {hello(1, "x", nil), nil},
		"two descriptors":    {hello(1, "x", nil), []int{device, device}},
		"other descriptor":   {hello(1, "x", init), []int{zero}},
		"not connected":      {hello(1, "x", init), []int{device}},
		"no INIT":            {hello(1, "x", nil), []int{device}},
		"other version":      {hello(2, "x", nil), []int{device}},
		"id that is a path":  {hello(1, "../../x", init), []int{device}},
		"id that is above":   {hello(1, "..", init), []int{device}},
		"no JSON":            {[]byte("{"), []int{device}},
		"too long":           {[]byte(strings.Repeat("x", 100_000)), []int{device}},
		"nothing":            {nil, nil},
		"silence for a time": {nil, nil},
	} {
		conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(j.Dir, "mount.sock"), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a socket
		if m.text == nil {
			continue
		}
		var oob []byte
		if len(m.fds) > 0 {
			oob = unix.UnixRights(m.fds...)
		}
		if _, _, err := conn.WriteMsgUnix(m.text, oob, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		if n, err := conn.Read(b); err == nil && n > 0 {
			t.Errorf("%s: the daemon answers %q", name, b[:n])
		} else if os.IsTimeout(err) {
			t.Errorf("%s: the daemon keeps the connection", name)
		}
		if !answers(j) {
			t.Fatalf("%s: the mount does not answer any more", name)
		}
	}
}

// TestGuest mounts in a user name space without rights outside of it, and runs a command there.
func TestGuest(t *testing.T) {
	j, id, _ := newJob(t, false)
	cmd := j.start(t)
	defer killed(t, cmd)
	j.await(t, id)
	if err := os.Chmod(j.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(j.Dir, "guest")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(fsmount.HolderJob{Run: j.Dir, Path: path, Exec: []string{"/bin/sh", "-c", `cmp "$0/big" "$1/big" && "$0/bin/true" && grep -c " $2 " /proc/self/mountinfo`,
		filepath.Join(path, id.String()), filepath.Join(j.mount(), id.String()), path}})
	if err != nil {
		t.Fatal(err)
	}
	guest := exec.Command(os.Args[0], fsmount.HolderArg, string(text))
	guest.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	out, err := guest.CombinedOutput()
	if guest.ProcessState == nil {
		skip.Wall(t, "no user name spaces: ", err)
	}
	if err != nil || string(out) != "1\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if n := mountCount(t, path); n != 0 {
		t.Errorf("the mount of the guest is visible outside: %d", n)
	}
	if !answers(j) {
		t.Error("the mount does not answer any more")
	}
}
