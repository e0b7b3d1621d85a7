package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/cas"
)

// An input is a tree of files of one size, with a hundred files in each folder.
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
			_, _ = source.Read(buf) // never fails
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

// importChild imports a tree into a new store and prints how long that took, without the time to open the store.
func importChild(dst, src string) error {
	store, err := cas.Open(dst, nil)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // an import is durable when it returns
	start := time.Now()
	if _, err := store.Import(context.Background(), os.DirFS(src), nil); err != nil {
		return err
	}
	fmt.Println(time.Since(start).Nanoseconds())
	return nil
}

// imports measures imports into a content store against cp and sync, and against nix-store if it is installed.
// By default Nix does not sync, so a second row makes it as durable as the others.
func (b *bench) imports() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = exec.LookPath("nix-store")
	nix := err == nil
	for _, in := range []input{{"1 GiB", 1, 1 << 30}, {"10,000 × 4 KiB", 10_000, 4 << 10}} {
		src := filepath.Join(b.dir, fmt.Sprint("source-", in.files))
		if err := in.make(src); err != nil {
			return err
		}
		shell := func(script string) task {
			return task{args: []string{"sh", "-c", script, "sh"}, env: []string{"NIX_REMOTE="}}
		}
		tasks := []task{{args: []string{self, "import"}, own: true}, shell(`cp -r "$2" "$1" && sync`)}
		if nix {
			tasks = append(tasks, shell(`nix-store --store "$1" --add "$2"`), shell(`nix-store --store "$1" --add "$2" && sync`))
		}
		base := tasks
		all := make([][]sample, len(tasks))
		for r := range b.rounds {
			for i := range base {
				// Every round has a folder of its own, and small files are removed at the end only:
				// ext4 creates files slowly after many were deleted, for every candidate.
				// Large files are removed at once; otherwise each one would be cached in other memory.
				dst := filepath.Join(b.dir, fmt.Sprintf("destination-%d-%d-%d", in.files, r, i))
				if i >= 2 {
					if _, err := shell(`nix-store --store "` + dst + `" --init`).measure(); err != nil {
						return err
					}
				}
				if err := warm(filepath.Join(b.dir, "fill"), int64(in.files)*int64(in.size)*5/2); err != nil {
					return err
				}
				if _, err := shell("sync").measure(); err != nil {
					return err
				}
				t := base[i]
				t.args = append(t.args[:len(t.args):len(t.args)], dst, src)
				s, err := t.measure()
				if err != nil {
					return err
				}
				all[i] = append(all[i], s)
				if b.verbose {
					fmt.Fprintf(os.Stderr, "%s %d.%d: %s, cpu %s\n", in.name, r, i, round(s.wall), round(s.cpu))
				}
				if in.files < 1000 {
					remove(dst)
				}
			}
		}
		name, ours := "import "+in.name, wall(all[0])
		speed := func(i int) float64 { return float64(wall(all[i])) / float64(ours) }
		b.table.add(name, round(ours), "cp -r; sync", round(wall(all[1])), fmt.Sprintf("%.2f×", speed(1)), "≥ 0.8×", met(speed(1) >= 0.8), memory(all[0]), memory(all[1]))
		if nix {
			b.table.add(name, round(ours), "nix-store --add", round(wall(all[2])), fmt.Sprintf("%.2f×", speed(2)), "> 1×", met(speed(2) > 1), "", memory(all[2]))
			b.table.add(name, round(ours), "nix-store --add; sync", round(wall(all[3])), fmt.Sprintf("%.2f×", speed(3)), "", "", "", memory(all[3]))
		}
		remove(src)
	}
	return nil
}

// warm fills memory with a file and removes the file. A virtual machine returns free memory to its host, and touching such memory
// again takes several times longer than the copy. With warm, each candidate gets memory that was just freed.
func warm(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	buf := make([]byte, 1<<20)
	for n := int64(0); n < size; n += int64(len(buf)) {
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a folder. Nix's folders are read-only.
func remove(dir string) {
	_ = exec.Command("chmod", "-R", "u+w", dir).Run()
	_ = os.RemoveAll(dir)
}
