package fsmount

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// HolderArg is the argument that makes the daemon's program a holder. The argument behind it is a HolderJob: see Hold.
const HolderArg = "mount-holder"

const (
	lockName    = "mount.lock"   // in the folder of sockets; the holder of the home's mount has it locked
	opensPrefix = "mount-opens-" // the tables of open files there
	// redial is how often a holder without a daemon looks for one.
	redial = 50 * time.Millisecond
	// DefaultLinger is how long a holder waits for a daemon before it unmounts.
	DefaultLinger = time.Minute
)

// A HolderJob says what a holder mounts and whom it serves.
type HolderJob struct {
	Run    string        `json:"run"`    // the folder of the daemon's sockets
	Path   string        `json:"path"`   // where to mount
	Device string        `json:"device"` // "" is Device
	Linger time.Duration `json:"linger"` // nanoseconds; 0 is DefaultLinger
	// Exec is a command that runs while the file system is mounted, and whose end ends the holder. The mount is then a guest: not the home's own,
	// and visible only in the holder's name space.
	Exec []string `json:"exec,omitempty"`
	// Adopt takes over the connection of a holder that has died: descriptor 3, and its hello.
	Adopt *hello `json:"adopt,omitempty"`
}

// hello is what a holder sends to a daemon, with the descriptor of the connection.
type hello struct {
	Version int    `json:"version"` // 1
	ID      string `json:"id"`      // of the connection
	Path    string `json:"path"`
	How     string `json:"how"` // how it was mounted
	Guest   bool   `json:"guest,omitempty"`
	Init    []byte `json:"init"` // the INIT request of the kernel
}

// The messages between a daemon and a holder that follow.
const (
	msgServing = "serving" // from the daemon: the file system answers
	msgStop    = "stop"    // from the daemon: unmount if nothing in it is in use
	msgLook    = "look "   // from the daemon, with a path in the mount: open it, and close it
	msgStopped = "stopped" // from the holder, before it ends
	msgBusy    = "busy"    // from the holder: something is in use
)

// ErrHeld reports that another holder has the home's mount.
var ErrHeld = errors.New("another process holds the mount")

type holder struct {
	job    *HolderJob
	hello  hello
	device int
}

// Hold is a holder: it mounts, and hands the connection to each daemon that comes, until a daemon asks it to stop, the command of the job has
// ended, or no daemon has come for the time of the job. It returns the exit code for the process. ErrHeld.
func Hold(text string) (int, error) {
	job := &HolderJob{}
	if err := json.Unmarshal([]byte(text), job); err != nil {
		return 1, fmt.Errorf("only a daemon starts this: the job is malformed: %w", err)
	}
	if job.Linger == 0 {
		job.Linger = DefaultLinger
	}
	if job.Device == "" {
		job.Device = Device
	}
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, unix.SIGTERM)
	h := &holder{job: job}
	if len(job.Exec) == 0 {
		lock, err := lockHolder(job.Run)
		if err != nil {
			return 1, err
		}
		defer lock.Close() //nolint:errcheck // the end of the process gives it up
	}
	if err := h.open(); err != nil {
		return 1, err
	}
	if len(job.Exec) > 0 {
		return h.guest()
	}
	h.hold(terminate, nil)
	return 0, nil
}

func lockHolder(run string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(run, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrHeld
	}
	if err == nil { // nuka daemon stop ends this process if its daemon has ended without it
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(lock, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// open mounts and reads the INIT request, or adopts a connection.
func (h *holder) open() error {
	if a := h.job.Adopt; a != nil {
		h.hello, h.device = *a, 3
		unix.CloseOnExec(3)
		return nil
	}
	if err := clearStale(h.job.Path); err != nil {
		return fmt.Errorf("detach the mount of an earlier holder: %w", err)
	}
	if err := os.MkdirAll(h.job.Path, 0o755); err != nil {
		return err
	}
	device, how, err := openMount(h.job.Device, h.job.Path)
	if err != nil {
		return err
	}
	h.device = device
	b := make([]byte, bufferSize)
	var n int
	for { // the kernel has sent INIT already
		if n, err = unix.Read(device, b); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read the INIT request: %w", err), detach(h.job.Path))
	}
	h.hello = hello{Version: 1, ID: rand.Text(), Path: h.job.Path, How: how, Guest: len(h.job.Exec) > 0, Init: b[:n]}
	return nil
}

// guest runs the command of the job while the file system is mounted.
func (h *holder) guest() (int, error) {
	done := make(chan struct{})
	serving := make(chan struct{})
	held := make(chan struct{})
	go func() {
		defer close(held)
		h.hold(nil, &guestState{serving: serving, done: done})
	}()
	code := 1
	var err error
	select {
	case <-serving:
		cmd := exec.Command(h.job.Exec[0], h.job.Exec[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = cmd.Run()
		code = cmd.ProcessState.ExitCode()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = nil
		}
	case <-held:
		return code, errors.New("no daemon serves the mount")
	}
	close(done)
	<-held
	return code, err
}

type guestState struct {
	serving chan struct{} // closed when a daemon serves
	done    chan struct{} // closed when the command has ended
	told    bool
}

// hold hands the connection to daemons until it ends.
func (h *holder) hold(terminate <-chan os.Signal, g *guestState) {
	var done chan struct{}
	if g != nil {
		done = g.done
	}
	alone := time.Now()
	for {
		select {
		case <-terminate:
			h.end()
			return
		case <-done:
			h.end()
			return
		default:
		}
		if h.disconnected() {
			return
		}
		if conn, err := dialDoor(h.job.Run); err == nil {
			if h.serveDaemon(conn, terminate, g) {
				return
			}
			alone = time.Now()
		}
		if time.Since(alone) > h.job.Linger {
			h.end()
			return
		}
		time.Sleep(redial)
	}
}

// serveDaemon hands the connection to a daemon and waits until the daemon has gone. It returns true if the holder is to end.
func (h *holder) serveDaemon(conn *door, terminate <-chan os.Signal, g *guestState) bool {
	defer conn.close()
	text, err := json.Marshal(h.hello)
	if err != nil || conn.send(text, h.device) != nil {
		return false
	}
	messages := make(chan string)
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		defer close(messages)
		for {
			b, _, err := conn.receive()
			if err != nil {
				return
			}
			select {
			case messages <- string(b):
			case <-quit:
				return
			}
		}
	}()
	var done chan struct{}
	if g != nil {
		done = g.done
	}
	deadFor := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case m, ok := <-messages:
			switch {
			case !ok:
				return false
			case m == msgServing && g != nil && !g.told:
				g.told = true
				close(g.serving)
			case m == msgStop:
				if unmount(h.job.Path) != nil {
					_ = conn.send([]byte(msgBusy), -1)
					continue
				}
				_ = conn.send([]byte(msgStopped), -1)
				return true
			case strings.HasPrefix(m, msgLook):
				go look(h.job.Path, m[len(msgLook):]) // it may wait for the next daemon
			}
		case <-tick.C:
			if h.disconnected() {
				return true
			}
			if !dead(conn.process) {
				deadFor = 0
			} else if deadFor++; deadFor >= deadTicks {
				h.end()
				return true
			}
		case <-terminate:
			h.end()
			return true
		case <-done:
			h.end()
			return true
		}
	}
}

// look opens and closes a file or folder of the mount.
func look(mount, path string) {
	if fd, err := unix.Open(filepath.Join(mount, filepath.Join("/", path)), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(fd) //nolint:errcheck // it was not read
	}
}

// deadTicks is how many seconds a daemon may be dead without being gone. Then one of its own threads waits for an answer of the mount, which nobody
// will give: only the end of the connection helps, because a dead daemon keeps the store locked.
const deadTicks = 3

// dead reports whether a process has been killed, but not all of its threads have ended.
func dead(process int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(process), "stat"))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

// disconnected reports whether the kernel has ended the connection, because the file system was unmounted.
func (h *holder) disconnected() bool {
	fds := []unix.PollFd{{Fd: int32(h.device)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// end unmounts. What is in use stays open: files that the kernel reads itself can be read on, and other calls get an error.
func (h *holder) end() {
	if unmount(h.job.Path) != nil {
		_ = detach(h.job.Path)
	}
}
