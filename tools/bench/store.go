package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	storeFiles    = 100_000 // of the collected store
	storePackages = 20      // that are installed
)

// store measures collections, installs of packages that the store has, and the start of an installed program.
func (b *bench) store() error {
	for _, part := range []func() error{b.collections, b.installs, b.launcher} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// inHome returns a task of nuka in a home.
func (b *bench) inHome(home string, args ...string) task {
	return task{args: append([]string{b.nuka}, args...), env: []string{"NUKA_HOME=" + home}, dir: b.dir}
}

// collections measures a dry run and a collection of a source of many files, beside the removal of the same files, and nix-store --gc.
func (b *bench) collections() error {
	home, src := filepath.Join(b.dir, "collected"), filepath.Join(b.dir, "src")
	for i := range storeFiles {
		path := filepath.Join(src, fmt.Sprint(i/100), fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, fmt.Appendf(nil, "file %d", i), 0o644)); err != nil {
			return err
		}
	}
	if err := b.packageFile("many", "\n    src: (fetch path ./src)"); err != nil {
		return err
	}
	defer b.inHome(home, "daemon", "stop").measure() //nolint:errcheck // the home goes
	if _, err := b.inHome(home, "build", "./many.nu").measure(); err != nil {
		return err
	}
	all, err := inTurn(b.rounds, []task{b.inHome(home, "gc", "--dry-run")}, nil)
	if err != nil {
		return err
	}
	took := wall(all[0])
	name := fmt.Sprintf("gc --dry-run of %d files", storeFiles)
	b.table.add(name, round(took), "", "", "", "≤ 1 s", met(took <= time.Second), memory(all[0]), "")
	if err := atRest(); err != nil {
		return err
	}
	ours, err := b.inHome(home, "gc", "--json").synced().measure()
	if err != nil {
		return err
	}
	var removed struct{ Files int }
	if err := json.Unmarshal([]byte(ours.out), &removed); err != nil || removed.Files < storeFiles {
		return fmt.Errorf("gc removed %d files, want %d: %v", removed.Files, storeFiles, err)
	}
	name = fmt.Sprintf("gc of %d files", storeFiles)
	nix, err := b.nixCollection(src)
	if err != nil {
		return err
	}
	if nix > 0 {
		ratio := float64(nix) / float64(ours.wall)
		b.table.add(name, round(ours.wall), "nix-store --gc; sync", round(nix), fmt.Sprintf("%.2f×", ratio), "> 1×", met(ratio > 1), memory([]sample{ours}), "")
	}
	unlink, err := task{args: []string{"rm", "-r", src}}.synced().measure()
	if err != nil {
		return err
	}
	b.table.add(name, round(ours.wall), "rm -r; sync", round(unlink.wall), fmt.Sprintf("%.2f×", float64(unlink.wall)/float64(ours.wall)), "", "", memory([]sample{ours}), "")
	return nil
}

// atRest writes to the disk what waits in memory. Files that were never written cost next to nothing to remove: nix-store, which does not sync what it
// adds, would be measured with a store that is not yet on the disk.
func atRest() error {
	_, err := task{args: []string{"sync"}}.measure()
	return err
}

// nixCollection returns how long nix-store takes to collect a store with the files of src, and the disk to have it; 0 if it is not installed.
func (b *bench) nixCollection(src string) (time.Duration, error) {
	if _, err := exec.LookPath("nix-store"); err != nil {
		return 0, nil //nolint:nilerr // the comparison is left out
	}
	store := filepath.Join(b.dir, "nix")
	shell := func(text string) task { return task{args: []string{"sh", "-c", text, "sh", store, src}} }
	if _, err := shell(`nix-store --store "$1" --add "$2"`).measure(); err != nil {
		return 0, err
	}
	if err := atRest(); err != nil {
		return 0, err
	}
	s, err := shell(`nix-store --store "$1" --gc`).synced().measure()
	return s.wall, err
}

// installs measures the install of packages that the store has.
func (b *bench) installs() error {
	home := filepath.Join(b.dir, "installed")
	defer b.inHome(home, "daemon", "stop").measure() //nolint:errcheck // the home goes
	install, remove := []string{"install"}, []string{"remove"}
	for i := range storePackages {
		name := fmt.Sprint("pkg", i)
		if err := b.packageFile(name, ""); err != nil {
			return err
		}
		install, remove = append(install, "./"+name+".nu"), append(remove, name)
	}
	if _, err := b.inHome(home, install...).measure(); err != nil {
		return err
	}
	all, err := inTurn(b.rounds, []task{b.inHome(home, install...)}, func(int, int) error {
		_, err := b.inHome(home, remove...).measure()
		return err
	})
	if err != nil {
		return err
	}
	took := wall(all[0])
	b.table.add(fmt.Sprintf("install of %d packages in the store", storePackages), round(took), "", "", "", "≤ 300 ms", met(took <= 300*time.Millisecond), memory(all[0]), "")
	return nil
}

// launcher measures the start of an installed program, and of the same program by nuka run. It needs a home that has lua.
func (b *bench) launcher() error {
	if b.home == "" {
		fmt.Fprintln(os.Stderr, "bench: without -home, the start of an installed program is left out")
		return nil
	}
	if _, err := b.inHome(b.home, "install", "lua").measure(); err != nil {
		return err
	}
	installed := task{args: []string{filepath.Join(b.home, "profiles", "default", "current", "bin", "lua"), "-v"}, env: []string{"NUKA_HOME=" + b.home}, dir: b.dir}
	all, err := inTurn(4*b.rounds, []task{installed, b.inHome(b.home, "run", "lua", "--", "-v")}, nil)
	if err != nil {
		return err
	}
	ratio := float64(wall(all[0])) / float64(wall(all[1]))
	b.table.add("installed lua -v", round(wall(all[0])), "nuka run lua -- -v", round(wall(all[1])), fmt.Sprintf("%.2f×", ratio), "≤ 1.2×", met(ratio <= 1.2), memory(all[0]), memory(all[1]))
	return nil
}

// packageFile writes a package file with a small build.
func (b *bench) packageFile(name, src string) error {
	text := fmt.Sprintf(`export def main [] {
  derivation {
    name: %s, version: "1"%s
    build: {|b| mkdir $"($b.out)/share"; %q | save $"($b.out)/share/%s" }
  }
}
`, name, src, name, name)
	return os.WriteFile(filepath.Join(b.dir, name+".nu"), []byte(text), 0o644)
}
