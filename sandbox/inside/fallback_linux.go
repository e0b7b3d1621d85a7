package inside

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeReaper makes this process the parent of the orphans of all that it starts. It serves the fallback only: there is no
// process name space whose processes end with their init.
func (b *box) becomeReaper() error {
	b.missing("name spaces: the program sees the files and processes of the host")
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fail("collect orphans", "", err)
	}
	// Opened now, because Landlock may not allow it later.
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	b.children = f
	return fail("collect orphans", "", err)
}

// killChildren ends all processes that this one started, directly or not, and waits for them.
func (b *box) killChildren() {
	buf := make([]byte, 64<<10)
	for range 1000 {
		n, _ := b.children.ReadAt(buf, 0)
		pids := strings.Fields(string(buf[:n]))
		if len(pids) == 0 {
			return
		}
		for _, p := range pids {
			if pid, err := strconv.Atoi(p); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		var ws syscall.WaitStatus
		_, _ = syscall.Wait4(-1, &ws, 0, nil)
	}
}
