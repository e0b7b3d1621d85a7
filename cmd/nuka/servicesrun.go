package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
	"github.com/MordragT/nuka/service/supervise"
)

func (a *app) servicesRun() *cobra.Command {
	c := &cobra.Command{
		Use:         "run [PKG] [flags of the package]",
		Short:       "keep services running, in the foreground",
		Annotations: map[string]string{withoutPackage: "yes"},
		Long: `Without PKG, run keeps the services running that were applied for the service manager nuka, and carries out what apply, stop, start, restart, rollback and
remove ask for: in a container, in CI, or where there is no service manager. It can start before anything was applied.

With PKG, run starts the services of a package, each when those before it are ready, restarts them when they fail, and stops them on Ctrl-C. What their
programs print appears with the name of the service, and is kept in a file log/current beside the service's state, which is rotated.

A service manager that starts this command learns when the service is ready by the protocol of systemd (NOTIFY_SOCKET), of s6 (NUKA_NOTIFY_FD)
or of Windows.`,
		Example: "  nuka services run ./services.nu\n  nuka services run ./services.nu --only web",
	}
	only := c.Flags().StringSlice("only", nil, "run the service `NAME` alone")
	var o servicesOptions
	o.flags(c)
	a.yesFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		dir, err := a.servicesDir(&o)
		if err != nil {
			return err
		}
		return controlled(c.Context(), func(ctx context.Context, ready func()) error {
			if t == nil {
				return a.superviseServices(ctx, dir, *only)
			}
			return a.runServices(ctx, dir, t, *only, ready)
		})
	})
}

// runServices keeps the services of a set running in the foreground, or only some of them. It calls ready when all are ready.
func (a *app) runServices(ctx context.Context, dir *deploy.Dir, t *thing, only []string, ready func()) error {
	client, id, set, err := a.serviceSet(ctx, t)
	if err != nil {
		return err
	}
	defer client.Close() // until the end, the node keeps what runs
	whole := set
	if set, err = selected(set, only); err != nil {
		return err
	}
	release, err := a.placeServices(ctx, dir, set, len(only) == 0)
	if err != nil {
		return err
	}
	defer release()
	r := &serviceRun{a: a, set: id, base: dir.Base(), single: len(only) == 1, unready: map[string]bool{}, ready: ready}
	var some []*service.Service
	for _, s := range set {
		s := *s
		if len(only) > 0 {
			r.waitFor(ctx, whole, s.After, only)
			other := func(name string) bool { return !slices.Contains(only, name) }
			s.After, s.Needs = slices.DeleteFunc(slices.Clone(s.After), other), slices.DeleteFunc(slices.Clone(s.Needs), other)
		}
		once(&s)
		r.unready[s.Name] = true
		some = append(some, &s)
	}
	reload, stop := onReload()
	defer stop()
	err = supervise.Run(ctx, some, r.options(reload))
	if err != nil {
		return protocol.Errorf(protocol.Failed, "%w", err)
	}
	return nil
}

// serviceRun starts the programs of a set.
type serviceRun struct {
	a       *app
	set     pir.PID
	base    string
	single  bool // output passes as it is
	unready map[string]bool
	told    bool       // the service manager knows that all are ready
	mu      sync.Mutex // lines of output, and what follows
	handed  []supervise.Handed
	open    map[string][]*os.File // the sockets of services

	ready    func()                // is called when all are ready; nil: nothing is
	began    func(pid int)         // is called when a program has started; nil: nothing is
	listener func(supervise.Event) // is called at each event; nil: nothing is
}

// waitFor waits for services that somebody else keeps running, as far as their checks tell, and at most a minute for each.
func (r *serviceRun) waitFor(ctx context.Context, set []*service.Service, names, only []string) {
	for _, name := range names {
		s, err := one(set, name)
		if err != nil || slices.Contains(only, name) || s.Ready.IsZero() {
			continue
		}
		limit, cancel := context.WithTimeout(ctx, time.Minute)
		for supervise.Probe(limit, s.Ready.Check) != nil && limit.Err() == nil {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-limit.Done():
			}
		}
		if limit.Err() != nil && ctx.Err() == nil {
			r.a.say("%s is not ready after a minute; going on without it", name)
		}
		cancel()
	}
}

// event tells about a change of a service.
func (r *serviceRun) event(e supervise.Event) {
	text := string(e.State)
	if e.Text != "" {
		text += ": " + e.Text
	}
	r.a.say("%s is %s", e.Service.Name, printable(text))
	if r.listener != nil {
		r.listener(e)
	}
	if e.State == supervise.Ready || e.State == supervise.Ended {
		delete(r.unready, e.Service.Name)
		if len(r.unready) == 0 && !r.told {
			r.told = true
			if r.ready != nil {
				r.ready()
			}
			r.notify()
		}
	}
}

// notify tells the service manager that started this process that all is ready: by sd_notify(3), or by a line on the descriptor that s6 watches.
func (r *serviceRun) notify() {
	if at := os.Getenv("NOTIFY_SOCKET"); at != "" {
		if strings.HasPrefix(at, "@") {
			at = "\x00" + at[1:]
		}
		if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: at, Net: "unixgram"}); err == nil {
			_, err = c.Write([]byte("READY=1"))
			_ = errors.Join(err, c.Close()) // the manager then waits as it likes
		}
	}
	if n, err := strconv.Atoi(os.Getenv("NUKA_NOTIFY_FD")); err == nil && n > 2 {
		f := os.NewFile(uintptr(n), "notify")
		_, err := f.WriteString("\n")
		_ = errors.Join(err, f.Close())
	}
}

// start starts the program of a service: another process of this command, which becomes the program.
func (r *serviceRun) start(ctx context.Context, s *service.Service) (supervise.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := rightUser(s); err != nil {
		return nil, err
	}
	p := &serviceProcess{}
	args := []string{"services", "become", r.set.String(), s.Name, "--state", r.base}
	if r.a.yes {
		args = append(args, "--yes")
	}
	sockets, err := r.sockets(s)
	if err != nil {
		return nil, err
	}
	r.ran(s)
	if len(s.Secrets) > 0 {
		if p.secrets, err = writeSecrets(ctx, s); err != nil {
			return nil, err
		}
		args = append(args, "--credentials", p.secrets)
	}
	p.cmd = exec.Command(self, args...)
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "NOTIFY_SOCKET=") || strings.HasPrefix(pair, "NUKA_NOTIFY_FD=") || strings.HasPrefix(pair, "LISTEN_") || strings.HasPrefix(pair, lifeVariable+"=") || strings.HasPrefix(pair, service.OneRun+"=")
	})
	if err := p.give(s, sockets); err != nil {
		return nil, errors.Join(err, p.clean())
	}
	if s.Ready.Notify {
		if p.told, err = hearNotify(p.cmd); err != nil {
			return nil, errors.Join(err, p.clean())
		}
	}
	ownGroup(p.cmd)
	log, err := openServiceLog(filepath.Join(r.base, s.Name, "log"))
	if err != nil {
		return nil, errors.Join(err, p.clean())
	}
	p.log = log
	if r.single {
		p.out = &lineWriter{log: log, mu: &r.mu, to: r.a.out}
	} else {
		p.out = &lineWriter{log: log, mu: &r.mu, to: r.a.out, prefix: s.Name + " | "}
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.WaitDelay = time.Second // for what the program has left behind with its output
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close(), p.clean())
	}
	p.end.Close()
	if p.told != nil {
		p.told.from(p.cmd.Process.Pid)
	}
	if r.began != nil {
		r.began(p.cmd.Process.Pid)
	}
	return p, nil
}

// A serviceProcess is a running program of a service.
type serviceProcess struct {
	cmd     *exec.Cmd
	out     *lineWriter
	log     *serviceLog
	secrets string // the folder; "" is none
	service *service.Service
	sockets []*os.File
	life    *os.File // its end is the end of the program
	end     *os.File // the program's end of life
	told    *hearer  // nil: the program is not asked to say that it is ready
}

// Wait implements supervise.Process.
func (p *serviceProcess) Wait() error {
	err := p.cmd.Wait()
	_ = killGroup(p.cmd) // what it left behind
	p.out.flush()
	if e := errors.Join(p.log.Close(), p.clean()); e != nil && err == nil {
		err = e
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("it exited with %d", exitStatus(exit))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// Signal implements supervise.Process.
func (p *serviceProcess) Signal(name string) error { return signalGroup(p.cmd, name) }

// Kill implements supervise.Process.
func (p *serviceProcess) Kill() error {
	killBelow(p.cmd.Process.Pid)
	return killGroup(p.cmd)
}

func (p *serviceProcess) clean() error {
	if p.life != nil {
		p.end.Close() // it may be closed already
		p.life.Close()
	}
	if p.told != nil {
		p.told.close()
		p.told = nil
	}
	if p.secrets == "" {
		return nil
	}
	return os.RemoveAll(p.secrets)
}

// privateFolder returns a folder for what lives as long as a program, in memory where the system has such a folder; "" is that for temporary files.
func privateFolder() string {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = "/dev/shm"
	}
	if _, err := os.Stat(base); err != nil {
		return ""
	}
	return base
}

// maxSecret bounds the bytes of a secret.
const maxSecret = 1 << 20

// writeSecrets puts the secrets of a service into a folder for it alone, in memory where the system has such a folder.
func writeSecrets(ctx context.Context, s *service.Service) (dir string, err error) {
	if dir, err = os.MkdirTemp(privateFolder(), "nuka-secrets-"); err != nil {
		return "", err
	}
	for name, secret := range s.Secrets {
		var text []byte
		if secret.File != "" {
			if info, e := os.Stat(secret.File); e == nil && info.Size() > maxSecret {
				err = fmt.Errorf("it has more than %d bytes", maxSecret)
			} else {
				text, err = os.ReadFile(secret.File)
			}
		} else {
			c := exec.CommandContext(ctx, secret.Run[0], secret.Run[1:]...)
			c.Stderr = os.Stderr
			text, err = c.Output()
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o400)
		}
		if err != nil {
			return "", errors.Join(fmt.Errorf("secret %s: %w", name, err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}
