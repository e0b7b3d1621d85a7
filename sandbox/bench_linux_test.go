package sandbox_test

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/MordragT/nuka/sandbox"
)

// system is a tree with the programs of this machine.
func system(mounts ...sandbox.Mount) *sandbox.Spec {
	s := &sandbox.Spec{
		Mounts: []sandbox.Mount{{Kind: sandbox.RO, Source: "/usr", Target: "/usr"},
			link("/bin", "usr/bin"), link("/lib", "usr/lib"), link("/lib64", "usr/lib64"),
			{Kind: sandbox.Proc, Target: "/proc"}, {Kind: sandbox.Dev, Target: "/dev"}, {Kind: sandbox.Tmpfs, Target: "/tmp", Mode: 0o1777},
		},
		Env: []string{"PATH=/usr/bin"},
	}
	s.Mounts = append(s.Mounts, mounts...)
	return s
}

// bubblewrap returns the command that runs a program in the same tree and the same name spaces as system does.
func bubblewrap(args ...string) *exec.Cmd {
	return exec.Command("bwrap", append([]string{"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--unshare-net",
		"--die-with-parent", "--hostname", "nuka", "--clearenv", "--setenv", "PATH", "/usr/bin",
		"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--"}, args...)...)
}

// BenchmarkStart measures the start and end of the program true: alone, in bubblewrap, and in a sandbox, one after the other in each round.
// Its figures are medians and minima over the rounds, in milliseconds, and the ratio to bubblewrap.
func BenchmarkStart(b *testing.B) {
	needSpaces(b)
	if _, err := exec.LookPath("bwrap"); err != nil {
		b.Skip("bubblewrap is not installed")
	}
	spec := system()
	spec.Argv = []string{"/usr/bin/true"}
	ways := []struct {
		name string
		run  func() error
	}{
		{"native", func() error { return exec.Command("/usr/bin/true").Run() }},
		{"bwrap", func() error { return bubblewrap("/usr/bin/true").Run() }},
		{"nuka", func() error {
			_, err := sandbox.Run(b.Context(), launcher(), spec, nil)
			return err
		}},
	}
	times := make([][]time.Duration, len(ways))
	for b.Loop() {
		for i, w := range ways {
			start := time.Now()
			if err := w.run(); err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	median := make([]float64, len(ways))
	for i, w := range ways {
		slices.Sort(times[i])
		median[i] = times[i][len(times[i])/2].Seconds() * 1000
		b.ReportMetric(median[i], w.name+"-ms")
		b.ReportMetric(times[i][0].Seconds()*1000, w.name+"-min-ms")
	}
	b.ReportMetric(median[2]/median[1], "ratio")
	b.ReportMetric(0, "ns/op")
}
