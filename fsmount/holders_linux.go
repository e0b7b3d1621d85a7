package fsmount

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the daemon's side of its holders.

// startHolder starts a holder in a session of its own. It ends at once if another holder has the mount; that one comes by itself.
func (m *Mount) startHolder(job HolderJob, files ...*os.File) {
	job.Run, job.Path, job.Device, job.Linger = m.o.Run, m.o.Path, m.o.Device, m.o.Linger
	text, err := json.Marshal(job)
	if err != nil {
		panic(err) // a struct of texts
	}
	command := m.o.Holder
	if command == nil {
		command = func(job string) *exec.Cmd {
			self, err := os.Executable()
			if err != nil {
				self = os.Args[0]
			}
			return exec.Command(self, HolderArg, job)
		}
	}
	cmd := command(string(text))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = files
	said, err := os.CreateTemp(m.o.Run, "mount-holder-")
	if err == nil {
		defer said.Close()           //nolint:errcheck // it was only read
		defer os.Remove(said.Name()) //nolint:errcheck // a cache
		cmd.Stderr = said
		err = cmd.Start()
	}
	if err != nil {
		m.failed(fmt.Errorf("start the holder of the mount: %w", err))
		return
	}
	done := make(chan struct{})
	m.mu.Lock()
	m.coming[cmd.Process.Pid] = done
	m.mu.Unlock()
	keep, err := os.Open(said.Name())
	if err != nil {
		keep = nil
	}
	go func() { // the holder outlives the daemon: nobody waits for this goroutine
		_ = cmd.Wait() // the text says why
		close(done)
		m.came(cmd.Process.Pid)
		if keep == nil {
			return
		}
		defer keep.Close() //nolint:errcheck // it was only read
		var b bytes.Buffer
		_, _ = b.ReadFrom(keep)
		if why := strings.TrimSpace(b.String()); why != "" && !strings.Contains(why, ErrHeld.Error()) {
			m.failed(errors.New(strings.TrimPrefix(why, "nukad: "+HolderArg+": ")))
		}
	}()
}

// came notes that a holder has come, or ended.
func (m *Mount) came(process int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.coming, process)
}

// endComing ends the holders that were started and have not come: they would find no daemon, and keep their mount until they have waited for one.
func (m *Mount) endComing() {
	m.mu.Lock()
	coming := maps.Clone(m.coming)
	m.mu.Unlock()
	late := time.After(greeting)
	for process, done := range coming {
		_ = syscall.Kill(process, syscall.SIGTERM)
		select {
		case <-done:
		case <-late:
			return
		}
	}
}

// rejoin gives a connection that is served a new holder; false if no connection has this id.
func (m *Mount) rejoin(d *door, id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, s := range m.open {
		if s.hello.ID == id {
			s.door = d
			m.open[c] = s
			m.serving.Go(func() { m.watch(c, d) })
			return true
		}
	}
	return false
}

// watch passes on what a holder says until it has gone. If the holder of the home's mount has died, another one adopts the connection.
func (m *Mount) watch(c *connection, d *door) {
	for {
		text, _, err := d.receive()
		m.mu.Lock()
		s, open := m.open[c]
		ending := m.ending
		m.mu.Unlock()
		switch {
		case err == nil && open:
			select {
			case s.replies <- string(text):
			default: // nobody asked
			}
			continue
		case err == nil:
			continue
		case !open || ending || s.hello.Guest || s.door != d || c.ended.Load():
			return
		}
		m.o.Log.Warn("the holder of the mount has died; another one adopts the mount")
		fd, err := unix.FcntlInt(uintptr(c.device), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			m.o.Log.Error("mount", "error", err)
			return
		}
		f := os.NewFile(uintptr(fd), m.o.Device)
		m.startHolder(HolderJob{Adopt: &s.hello}, f)
		f.Close() //nolint:errcheck // the holder has it
		return
	}
}

// settle is how long a daemon that ends waits for files to be closed. The kernel tells of the last close a little later than the process that closed.
const settle = 500 * time.Millisecond

// unmount returns whether the holder has unmounted, which it does if nothing in the mount is in use.
func (m *Mount) unmount(c *connection, s *served) bool {
	for begun := time.Now(); ; time.Sleep(settle / 20) {
		if !c.inUse() && s.stop(c) {
			return true
		}
		if time.Since(begun) > settle {
			return false
		}
	}
}

// stop returns whether the holder has unmounted.
func (s *served) stop(c *connection) bool {
	if s.door.send([]byte(msgStop), -1) != nil {
		return false
	}
	select {
	case text := <-s.replies:
		return text == msgStopped
	case <-c.done:
		return true
	case <-time.After(greeting):
		return false
	}
}

// reach returns a path of the mount in this process's name space.
func (s *served) reach(path string) string {
	if !s.hello.Guest {
		return path
	}
	return filepath.Join("/proc", strconv.Itoa(s.door.process), "root", s.hello.Path)
}
