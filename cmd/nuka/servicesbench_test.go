package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
	"github.com/MordragT/nuka/service/supervise"
)

// BenchmarkServicesStatus runs nuka services status for 50 services that run: wall time with the start of the process. nuka --version is the start alone.
func BenchmarkServicesStatus(b *testing.B) {
	const services = 50
	base := b.TempDir()
	dir := deploy.Open(base)
	lock, err := dir.Lock(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("{")
	for i := range services {
		fmt.Fprintf(&text, "s%02d: {run: [{name: p, version: \"1\", pid: %s}, srv, \"--root\", \"{state}\"], state: true, env: {MODE: fast}, ready: {port: %d}},", i, pir.Sum([]byte("p")), 8000+i)
	}
	g, err := deploy.New(nil, 1, &deploy.Making{Set: pir.Sum([]byte("set")), Text: text.String() + "}", Manager: systemd, Units: func(s *service.Service, from int) ([]service.Unit, error) {
		return service.Units(systemd, s, &service.Launcher{Argv: []string{"/nuka", "services", "exec", fmt.Sprintf("%s@%d", s.Name, from)}})
	}})
	if err != nil {
		b.Fatal(err)
	}
	if err := dir.Put(g); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, ".nuka", "current"), []byte("1\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		b.Fatal(err)
	}
	for _, s := range g.Services() {
		p, err := dir.Place(b.Context(), s.Name, 0, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		if err := p.Tell(deploy.Running{Generation: 1, Launcher: os.Getpid(), Began: time.Now(), Since: time.Now(), State: supervise.Ready}); err != nil {
			b.Fatal(err)
		}
	}
	for _, args := range [][]string{{"--version"}, {"services", "status", "--state", base}} {
		b.Run(args[0], func(b *testing.B) {
			var used time.Duration
			for b.Loop() {
				c := exec.Command(filepath.Join(programs, "nuka"), args...)
				c.Env = append(os.Environ(), "NUKA_HOME="+base)
				out, err := c.CombinedOutput()
				if err != nil || args[0] == "services" && bytes.Count(out, []byte(" ready ")) != services {
					b.Fatalf("%v\n%s", err, out)
				}
				used += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op") // says more than wall time on a machine that is busy
		})
	}
}
