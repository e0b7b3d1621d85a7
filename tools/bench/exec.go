package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// foreign measures the start of foreign programs in the sandbox, beside bubblewrap and runc with the same tree and name spaces, and without any.
func (b *bench) foreign() error {
	if b.home == "" {
		return errors.New("foreign programs need -home, which keeps the runtimes")
	}
	trees := map[string]string{}
	for _, name := range []string{"base", "python"} {
		tree, err := b.runtimeTree(name)
		if err != nil {
			return err
		}
		trees[name] = tree
		if err := b.runtimeSize(name); err != nil {
			return err
		}
	}
	if err := b.starts("true", "base", trees["base"], []string{"true"}, "bubblewrap", 1.5); err != nil {
		return err
	}
	return b.starts("python3 -c pass", "python", trees["python"], []string{"python3", "-c", "pass"}, "directly", 1.1)
}

// runtimeTree makes a runtime present and returns its folder.
func (b *bench) runtimeTree(name string) (string, error) {
	if _, err := b.inHome(b.home, "exec", "--runtime", name, "--", "true").measure(); err != nil {
		return "", err
	}
	s, err := b.inHome(b.home, "eval", name).measure()
	return filepath.Join(b.home, "mnt", strings.TrimSpace(s.out)), err
}

// Sizes of images that others published, unpacked. They were not measured here: freedesktop Platform 19.08 is given as 628 MB, and python:slim as some 125 MB.
var published = map[string][2]string{"base": {"freedesktop runtime", "628 MB"}, "python": {"python:slim", "125 MB"}}

func (b *bench) runtimeSize(name string) error {
	s, err := b.inHome(b.home, "runtime", "size", name, "--json").measure()
	if err != nil {
		return err
	}
	var sizes struct{ Size int64 }
	if err := json.Unmarshal([]byte(s.out), &sizes); err != nil {
		return err
	}
	peer := published[name]
	b.table.add("size of "+name, fmt.Sprintf("%.0f MB", float64(sizes.Size)/1e6), peer[0]+", published", peer[1], "", "≤ 110 MB", met(sizes.Size <= 110e6), "", "")
	return nil
}

// starts measures the start of a program of a runtime. The target is about one of the peers.
func (b *bench) starts(what, runtime, tree string, argv []string, about string, most float64) error {
	ours := b.inHome(b.home, append([]string{"exec", "--runtime", runtime, "--"}, argv...)...)
	names, tasks := []string{"nuka exec"}, []task{ours}
	add := func(name string, args ...string) {
		names, tasks = append(names, name), append(tasks, task{args: args, dir: b.dir})
	}
	lib := tree + "/usr/lib/x86_64-linux-gnu"
	add("directly", append([]string{"env", "-i", "PYTHONHOME=" + tree + "/usr", tree + "/usr/lib64/ld-linux-x86-64.so.2", "--library-path", lib, tree + "/usr/bin/" + argv[0]}, argv[1:]...)...)
	if bwrap, err := exec.LookPath("bwrap"); err == nil {
		add("bubblewrap", append([]string{bwrap, "--unshare-all", "--die-with-parent", "--ro-bind", tree + "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
			"--symlink", "usr/lib64", "/lib64", "--ro-bind", tree + "/etc", "/etc", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--clearenv", "--setenv", "PATH", "/usr/bin"}, argv...)...)
	}
	if runc, err := exec.LookPath("runc"); err == nil && os.Getuid() == 0 {
		bundle, err := b.bundle(runc, tree, argv)
		if err != nil {
			return err
		}
		add("runc", "sh", "-c", `exec "$0" --root "$1" run --bundle "$2" nuka-bench-$$`, runc, filepath.Join(b.dir, "runc"), bundle)
	}
	all, err := inTurn(8*b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	for i, name := range names[1:] {
		ratio := float64(wall(all[0])) / float64(wall(all[i+1]))
		target, ok := "", ""
		if name == about {
			target, ok = fmt.Sprintf("≤ %.1f×", most), met(ratio <= most)
		}
		b.table.add(what, round(wall(all[0])), name, round(wall(all[i+1])), fmt.Sprintf("%.2f×", ratio), target, ok, memory(all[0]), memory(all[i+1]))
	}
	return nil
}

// bundle makes a bundle of runc for a program in a tree.
func (b *bench) bundle(runc, tree string, argv []string) (string, error) {
	dir := filepath.Join(b.dir, "bundle-"+argv[0])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	spec := exec.Command(runc, "spec")
	spec.Dir = dir
	if out, err := spec.CombinedOutput(); err != nil {
		return "", fmt.Errorf("runc spec: %w: %s", err, out)
	}
	name := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return "", err
	}
	process, _ := config["process"].(map[string]any)
	process["args"], process["terminal"] = argv, false
	root := filepath.Join(dir, "root") // runc makes the places of its mounts, which it cannot in the tree itself
	if err := os.MkdirAll(filepath.Join(root, "usr"), 0o755); err != nil {
		return "", err
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(root, link)); err != nil {
			return "", err
		}
	}
	config["root"] = map[string]any{"path": root, "readonly": true}
	mounts, _ := config["mounts"].([]any)
	config["mounts"] = append(mounts, map[string]any{"destination": "/usr", "type": "bind", "source": filepath.Join(tree, "usr"), "options": []string{"rbind", "ro"}})
	if text, err = json.Marshal(config); err != nil {
		return "", err
	}
	return dir, os.WriteFile(name, text, 0o600)
}
