// Command bench measures imports into a content store against cp and, where it is installed, nix-store.
//
// It makes its input below a folder of its own, runs every candidate in turn, several rounds,
// and prints the medians and their ratio to "cp -r" followed by "sync".
// Every round starts from an empty destination and a synced disk.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/cas"
)

func main() {
	dir := flag.String("dir", "", "where to work; default: a temporary folder")
	rounds := flag.Int("rounds", 5, "how often each candidate runs")
	only := flag.String("only", "", "run only inputs and candidates with this in their name, as input/candidate")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the imports to this file")
	flag.Parse()
	if err := run(*dir, *rounds, *only, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(dir string, rounds int, only, profile string) error {
	if dir == "" {
		d, err := os.MkdirTemp("", "nuka-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(d)
		dir = d
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, in := range []input{{"1GiB", 1, 1 << 30}, {"10000x4KiB", 10_000, 4 << 10}} {
		if name, _, _ := strings.Cut(only, "/"); !strings.Contains(in.name, name) {
			continue
		}
		if err := compare(dir, rounds, only, in); err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
	}
	return nil
}

// An input is a tree of files of one size, a hundred to a folder.
type input struct {
	name  string
	files int
	size  int
}

func (in input) make(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	source := rand.NewChaCha8([32]byte{byte(in.files)})
	buf := make([]byte, min(in.size, 1<<20))
	for i := range in.files {
		folder := filepath.Join(dir, fmt.Sprint(i/100))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(folder, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		for n := 0; n < in.size; n += len(buf) {
			source.Read(buf) // never fails
			if _, err := f.Write(buf); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// A candidate copies src to below dst and makes it durable; prepare is not measured.
type candidate struct {
	name    string
	prepare func(dst string) error
	run     func(src, dst string) error
}

func candidates() []candidate {
	var store *cas.Store
	list := []candidate{
		{"cp -r; sync", nil, func(src, dst string) error {
			if err := command("cp", "-r", src, dst); err != nil {
				return err
			}
			return command("sync")
		}},
		{"nuka", func(dst string) (err error) {
			store, err = cas.Open(dst, nil)
			return err
		}, func(src, _ string) error {
			_, err := store.Import(context.Background(), os.DirFS(src), nil)
			return err
		}},
		{"nuka again", nil, func(src, dst string) error {
			_, err := store.Import(context.Background(), os.DirFS(src), nil)
			return err
		}},
		{"nuka close", nil, func(string, string) error { return store.Close() }},
	}
	if _, err := exec.LookPath("nix-store"); err == nil {
		list = append(list, candidate{"nix-store --add", func(dst string) error {
			return command("nix-store", "--store", dst, "--init")
		}, func(src, dst string) error {
			return command("nix-store", "--store", dst, "--add", src)
		}})
		// nix writes without syncing unless told to: the second row makes it as durable as the others.
		list = append(list, candidate{"nix-store --add; sync", func(dst string) error {
			return command("nix-store", "--store", dst, "--init")
		}, func(src, dst string) error {
			if err := command("nix-store", "--store", dst, "--add", src); err != nil {
				return err
			}
			return command("sync")
		}})
	}
	return list
}

func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "NIX_REMOTE=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

func compare(dir string, rounds int, only string, in input) error {
	src := filepath.Join(dir, "src-"+in.name)
	if err := in.make(src); err != nil {
		return err
	}
	_, want, _ := strings.Cut(only, "/")
	list := slices.DeleteFunc(candidates(), func(c candidate) bool { return !strings.Contains(c.name, want) })
	defer remove(filepath.Join(dir, "dst-"+in.name)) //nolint:errcheck // temporary
	times := make([][]time.Duration, len(list))
	for r := range rounds {
		for i, c := range list {
			// Every round has a folder of its own, and small files are not removed before the end:
			// ext4 makes files slowly where many have just been deleted, whoever makes them.
			// Large ones are, or the memory that caches them would be another one each time.
			dst := filepath.Join(dir, fmt.Sprintf("dst-%s-%d-%d-%s", in.name, os.Getpid(), r, strings.Fields(c.name)[0]))
			if strings.HasSuffix(c.name, "; sync") {
				dst += "-synced"
			}
			if in.files < 1000 && (c.prepare != nil || i == 0) {
				if err := remove(filepath.Join(dir, "dst-"+in.name)); err != nil {
					return err
				}
			}
			if c.prepare != nil {
				if err := c.prepare(dst); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			if err := command("sync"); err != nil {
				return err
			}
			start := time.Now()
			if err := c.run(src, dst); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	fmt.Printf("%-12s %-22s %10s %10s %10s  %s\n", "input", "candidate", "median", "least", "most", "speed against cp")
	for i, c := range list {
		slices.Sort(times[i])
		fmt.Printf("%-12s %-22s %10s %10s %10s  %.2f\n", in.name, c.name, round(median(times[i])), round(times[i][0]),
			round(times[i][len(times[i])-1]), float64(median(times[0]))/float64(median(times[i])))
	}
	return nil
}

// remove removes what starts with prefix; nix's files are in folders that cannot be written to.
func remove(prefix string) error {
	return command("sh", "-c", "chmod -R u+w "+prefix+"-* 2>/dev/null; rm -rf "+prefix+"-*")
}

func median(d []time.Duration) time.Duration { return d[len(d)/2] }

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
