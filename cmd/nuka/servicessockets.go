package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
	"github.com/MordragT/nuka/wasmrt"
)

// firstSocket is the descriptor of the first socket that a process is given (sd_listen_fds(3)).
const firstSocket = 3

// handedSockets returns the listening sockets that a service manager, or nuka services run, gave to this process, and takes their variables out of the environment.
// Programs that this process starts do not inherit them by accident.
func handedSockets() (list []supervise.Handed) {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	pid := os.Getenv("LISTEN_PID")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name)
	}
	if err != nil || n < 1 || n > 1000 || pid != strconv.Itoa(os.Getpid()) && pid != supervise.HandedByParent {
		return nil
	}
	for i := range n {
		fd := firstSocket + i
		closeOnExec(fd)
		if i < len(names) {
			list = append(list, supervise.Handed{Name: names[i], File: os.NewFile(uintptr(fd), names[i])})
		}
	}
	return list
}

// sockets returns the listening sockets of a service, which stay open as long as this process runs. The first call for a service opens them.
func (r *serviceRun) sockets(s *service.Service) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handed == nil {
		r.handed = append([]supervise.Handed{}, handedSockets()...)
		r.open = map[string][]*os.File{}
	}
	if files, ok := r.open[s.Name]; ok {
		return files, nil
	}
	files, err := supervise.Listen(s, r.handed)
	if err != nil {
		return nil, protocol.Errorf(protocol.Failed, "%s: %w", s.Name, err)
	}
	r.open[s.Name] = files
	return files, nil
}

// give adds the sockets of a service to a process that is about to start.
func (p *serviceProcess) give(s *service.Service, files []*os.File) error {
	p.service, p.sockets = s, files
	end, life, err := os.Pipe()
	if err != nil {
		return err
	}
	p.life, p.end = life, end
	defer func() {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, end)
		p.cmd.Env = append(p.cmd.Env, lifeVariable+"="+strconv.Itoa(firstSocket+len(p.cmd.ExtraFiles)-1))
	}()
	if len(files) == 0 {
		return nil
	}
	var names []string
	for i, f := range files {
		if err := supervise.Inheritable(f); err != nil {
			return fmt.Errorf("listen: %s: %w", s.Listen[i].Name, err)
		}
		names = append(names, s.Listen[i].Name)
	}
	p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, files...)
	p.cmd.Env = append(p.cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"), "LISTEN_PID="+supervise.HandedByParent)
	return nil
}

// lifeVariable names the descriptor of a pipe that ends when nuka services run does, however it ends. Its programs then end too: they would keep the sockets from the
// next one that starts.
const lifeVariable = "NUKA_LIFE_FD"

// endWithParent asks this process to end when the one that started it has ended, and then kills it.
func endWithParent(patience time.Duration) {
	fd, err := strconv.Atoi(os.Getenv(lifeVariable))
	_ = os.Unsetenv(lifeVariable)
	if err != nil || fd < firstSocket {
		return
	}
	closeOnExec(fd)
	f := os.NewFile(uintptr(fd), "life")
	go func() {
		_, _ = f.Read(make([]byte, 1)) // nothing is written
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			_ = self.Signal(terminate)
			time.Sleep(patience)
			killBelow(os.Getpid())
			_ = self.Kill()
		}
	}()
}

// asListening is a list of sockets for WebAssembly.
func asListening(list []supervise.Handed) (out []wasmrt.Listening) {
	for _, h := range list {
		out = append(out, wasmrt.Listening{Name: h.Name, File: h.File})
	}
	return out
}

// socketEnv returns the variables and files by which a native program finds its sockets. Its own number follows: see listenPID.
func socketEnv(list []supervise.Handed) (env []string, files []*os.File) {
	if len(list) == 0 {
		return nil, nil
	}
	var names []string
	for _, h := range list {
		names, files = append(names, h.Name), append(files, h.File)
	}
	return []string{"LISTEN_FDS=" + strconv.Itoa(len(list)), "LISTEN_FDNAMES=" + strings.Join(names, ":")}, files
}

// lastRun is the file that has the time of a job's last run.
func (r *serviceRun) lastRun(s *service.Service) string {
	return filepath.Join(r.base, s.Name, "last-run")
}

// last returns when a job was run last; the zero time if nothing tells.
func (r *serviceRun) last(s *service.Service) time.Time {
	text, err := os.ReadFile(r.lastRun(s))
	if err != nil || len(text) > 100 {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(text)))
	if err != nil {
		return time.Time{}
	}
	return at.Local()
}

// ran notes that a job is run now. A full disk must not keep it from running.
func (r *serviceRun) ran(s *service.Service) {
	if !s.Every.IsZero() {
		_ = os.MkdirAll(filepath.Join(r.base, s.Name), 0o700)
		_ = atomicfile.Replace(r.lastRun(s), []byte(time.Now().Format(time.RFC3339Nano)+"\n"))
	}
}

// options returns how services are kept running.
func (r *serviceRun) options(reload <-chan struct{}) *supervise.Options {
	return &supervise.Options{Start: r.start, Event: r.event, Last: r.last, Reload: reload}
}

// once makes a job a program that runs once, if the service manager keeps its times.
func once(s *service.Service) {
	if os.Getenv(service.OneRun) != "" && !s.Every.IsZero() {
		s.Every, s.Restart.Policy = service.Timer{}, service.RestartNo
	}
}

// Probe implements supervise.Prober.
func (p *serviceProcess) Probe(ctx context.Context, c service.Check) error {
	return supervise.ProbeWith(ctx, p.service, p.sockets, c)
}
