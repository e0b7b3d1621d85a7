package prepared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/early"
	"github.com/MordragT/nuka/internal/home"
	"github.com/MordragT/nuka/sandbox"
)

// Main runs a command line of exec as it was prepared, and returns its exit code. args are the file of the command, and the words after exec. If there is no
// prepared run, if it holds no more, or if it does not start, Main replaces this process by the command, which prepares it anew and says what is wrong.
func Main(args []string) int {
	runtime.UnlockOSThread() // the launcher locks it for what only it does
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "nuka-sandbox: nuka starts this program; it is not called by hand")
		return 2
	}
	name := []byte("nuka\x00") // the name that ps shows
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	if key, file, program := find(args[1:]); file != nil {
		status, err := run(key, file, program)
		switch {
		case err == nil:
			return status.Code
		case !errors.Is(err, errNotStarted):
			fmt.Fprintf(os.Stderr, "nuka: %v\n", err)
			return 1
		}
	}
	err := syscall.Exec(args[0], append([]string{"nuka", "exec"}, args[1:]...), append(os.Environ(), early.Unprepared+"=1"))
	fmt.Fprintf(os.Stderr, "nuka: start %s: %v\n", args[0], err)
	return 1
}

// find returns the file of the prepared run of a command line, or nil, and the program with its arguments.
func find(args []string) (key Key, file []byte, program []string) {
	key, program, ok := KeyOf(args)
	if !ok {
		return nil, nil, nil
	}
	user, _ := os.UserHomeDir()
	own, err := home.FindWithSystem(os.Getenv, user)
	if err != nil {
		return nil, nil, nil
	}
	return key, (&Cache{own.PreparedRuns()}).load(key), program
}

// errNotStarted says that the program has not run.
var errNotStarted = errors.New("the prepared run did not start")

// run runs the program, and returns errNotStarted if that cannot be done as it was prepared. While the launcher starts, which waits for its description, this
// process decodes the file and compares what it names, and the node looks for the runtime.
func run(key Key, file []byte, words []string) (sandbox.Status, error) {
	valid := make(chan *Run, 1)
	go func() { valid <- check(key, file) }()
	started := false
	status, err := sandbox.Run(context.Background(), "/proc/self/exe", &sandbox.Spec{Net: netOf(file)}, &sandbox.Options{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Complete: func(s *sandbox.Spec) error {
			r := <-valid
			if r == nil {
				return errNotStarted
			}
			*s = r.Spec
			s.Argv = append([]string{r.Program}, words[1:]...)
			return nil
		},
		Started: func(*sandbox.Process) { started = true },
	})
	if err != nil && !started {
		return status, errNotStarted
	}
	return status, err
}

// check returns the run of a file if it holds, or nil. The node then keeps the runtime as long as this process lives: the connection stays open.
func check(key Key, file []byte) *Run {
	r := decode(file, key)
	if r == nil {
		return nil
	}
	asked, err := ask(r.Socket, r.Package)
	if err != nil {
		return nil
	}
	if !holds(r.facts) || !r.shown(asked) {
		unix.Close(asked)
		return nil
	}
	return r
}

// askTime is how long the node may take to answer.
const askTime = 5 * time.Second

// ask asks the node at a socket for a package, and does not wait for the answer. The node keeps the package until the descriptor is closed.
func ask(socket, id string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	t := unix.NsecToTimeval(askTime.Nanoseconds())
	if err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &t)); err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
	}
	if err == nil {
		_, err = unix.Write(fd, []byte("mount "+id+"\n"))
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// shown reports whether the node answers that it shows the runtime, with the same content at the same place.
func (r *Run) shown(fd int) bool {
	const most = 64 << 10
	var line []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(line), "\n") {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil || len(line) > most {
			return false
		}
		line = append(line, buf[:n]...)
	}
	var answer struct {
		Error  string
		Result struct {
			Path     string
			Contents []string
		}
	}
	return json.Unmarshal(line, &answer) == nil && answer.Error == "" && answer.Result.Path == r.Folder &&
		len(answer.Result.Contents) == 1 && answer.Result.Contents[0] == r.Content
}
