package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// Both compile the sources for the same target, with the flags of packages/app/lua.nu
// except one that Debian's clang does not support.
const luaHeader = `#include <stdio.h>
#include <stdlib.h>
#define system(command) ((void)(command), -1)
#define L_tmpnam 1
#define tmpnam(name) ((void)(name), (char *)0)
#define tmpfile() ((FILE *)0)
`

var luaFlags = []string{
	"-O2", "-mllvm", "-wasm-enable-sjlj", "-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS", "--target=wasm32-wasip1",
}

// compile measures the compilation of Lua's sources by clang in nuka's runtime and by a native clang:
// processor time, and how many cores were busy.
func (b *bench) compile() error {
	if b.home == "" {
		return nil
	}
	clang, err := b.pid("clang")
	if err != nil {
		return err
	}
	lua, err := b.pid("lua")
	if err != nil {
		return err
	}
	// The child opens the store itself, which only one process can do.
	if err := b.stop(b.home); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	work := filepath.Join(b.dir, "compile")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	ours := task{args: []string{self, "compile", work, clang, lua}, env: b.at(b.home)}
	if _, err := ours.measure(); err != nil { // also exports the files that the native one needs
		return err
	}
	tasks := []task{ours}
	if _, err := exec.LookPath("clang"); err == nil {
		script := fmt.Sprintf(`ls src/*.c | xargs -P %d -I{} clang %s -include lua.h --sysroot=usr -resource-dir=usr -c {} -o {}.native.o`,
			runtime.NumCPU(), strings.Join(luaFlags, " "))
		tasks = append(tasks, task{args: []string{"sh", "-c", script}, dir: work})
	}
	all, err := inTurn(b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	busy := func(i int) float64 { return cpu(all[i]).Seconds() / wall(all[i]).Seconds() }
	row := []string{"clang: Lua's sources, CPU", round(cpu(all[0])), "", "", "", "≤ 5×", "", memory(all[0]), ""}
	cores := []string{"  cores busy", fmt.Sprintf("%.2f", busy(0)), "", "", "", fmt.Sprint("all of ", runtime.NumCPU()), met(busy(0) > 0.8*float64(runtime.NumCPU())), "", ""}
	if len(all) > 1 {
		ratio := cpu(all[0]).Seconds() / cpu(all[1]).Seconds()
		row[2], row[3], row[4], row[6], row[8] = "native clang", round(cpu(all[1])), fmt.Sprintf("%.2f×", ratio), met(ratio <= 5), memory(all[1])
		cores[3] = fmt.Sprintf("%.2f", busy(1))
	}
	b.table.add(row...)
	b.table.add("  wall", round(wall(all[0])), "", round(wall(all[1%len(all)])))
	b.table.add(cores...)
	return nil
}

// compileChild compiles Lua's sources as a build does: in one host, with one program per core at once.
func compileChild(work, clangPID, luaPID string) error {
	ctx := context.Background()
	home, err := protocol.FindHome(os.Getenv, "")
	if err != nil {
		return err
	}
	store, err := cas.Open(home.Store(), nil)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	clangID, err := pir.ParsePID(clangPID)
	if err != nil {
		return err
	}
	clang, err := store.CID(clangID)
	if err != nil {
		return err
	}
	sources, err := sourcesOf(store, luaPID)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(work, "src")); err != nil {
		usr, err := store.Lookup(ctx, clang, "usr")
		if err == nil {
			err = errors.Join(exportTo(ctx, store, usr.CID, filepath.Join(work, "usr")),
				exportTo(ctx, store, sources, filepath.Join(work, "src")),
				os.WriteFile(filepath.Join(work, "lua.h"), []byte(luaHeader), 0o644),
				os.Mkdir(filepath.Join(work, "tmp"), 0o755))
		}
		if err != nil {
			return err
		}
	}
	tree, err := treeOf(ctx, store, clang)
	if err != nil {
		return err
	}
	at := "/nuka/store/" + clangPID
	var dirs [2]*wasmrt.Dir
	for i, d := range []string{work, filepath.Join(work, "tmp")} {
		if dirs[i], err = wasmrt.OpenDir(d, nil); err != nil {
			return err
		}
		defer dirs[i].Close()
	}
	guest, err := wasmrt.NewFS(wasmrt.Mount{Path: at, Tree: tree},
		wasmrt.Mount{Path: "/nuka/build", Dir: dirs[0]}, wasmrt.Mount{Path: "/tmp", Dir: dirs[1]})
	if err != nil {
		return err
	}
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: home.MachineCode()})
	if err != nil {
		return err
	}
	host := &wasmrt.Host{Runtime: rt, FS: guest, Path: []string{at + "/bin"}, Limits: wasmrt.Limits{Running: runtime.NumCPU()}}
	return compileAll(ctx, host, work, at)
}

// compileAll compiles all sources at the same time, with the clang at a path of the guest.
func compileAll(ctx context.Context, host *wasmrt.Host, work, at string) error {
	files, err := filepath.Glob(filepath.Join(work, "src", "*.c"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("no sources")
	}
	errs := make([]error, len(files))
	var wg sync.WaitGroup
	for i, f := range files {
		wg.Go(func() {
			name := "src/" + path.Base(filepath.ToSlash(f))
			var out bytes.Buffer
			args := slices.Concat([]string{"clang"}, luaFlags, []string{"-mllvm", "-wasm-use-legacy-eh=false", "-include", "lua.h",
				"--sysroot=" + at + "/usr", "-resource-dir", at + "/usr", "-c", name, "-o", name + ".nuka.o"})
			exit, err := host.Exec(ctx, &wasmrt.Command{Args: args, Dir: "/nuka/build", Stdout: &out, Stderr: &out})
			if err == nil && exit != 0 {
				err = fmt.Errorf("%s: exit %d: %s", name, exit, out.String())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sourcesOf returns the folder src of a package's sources.
func sourcesOf(store *cas.Store, text string) (cid.CID, error) {
	p, err := pir.ParsePID(text)
	if err != nil {
		return cid.CID{}, err
	}
	canonical, _, err := store.PIR(p)
	if err != nil {
		return cid.CID{}, err
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return cid.CID{}, err
	}
	src, _ := rec["src"].(string)
	if p, err = pir.ParsePID(src); err != nil {
		return cid.CID{}, err
	}
	c, err := store.CID(p)
	if err != nil {
		return cid.CID{}, err
	}
	e, err := store.Lookup(context.Background(), c, "src")
	return e.CID, err
}

func treeOf(ctx context.Context, store *cas.Store, c cid.CID) (*wasmrt.Tree, error) {
	kinds := map[cas.Kind]wasmrt.Kind{cas.Dir: wasmrt.KindDir, cas.File: wasmrt.KindFile, cas.Symlink: wasmrt.KindSymlink}
	var entries []wasmrt.Entry
	for e, err := range store.Entries(ctx, c) {
		if err != nil {
			return nil, err
		}
		we := wasmrt.Entry{Path: e.Path, Kind: kinds[e.Kind], Exec: e.Exec, Size: e.Size, Target: e.Target}
		if e.Kind == cas.File {
			if we.File, err = store.BlobPath(e.CID); err != nil {
				return nil, err
			}
		}
		entries = append(entries, we)
	}
	return wasmrt.NewTree(slices.Values(entries))
}

// exportTo writes a tree in which files can be created.
func exportTo(ctx context.Context, store *cas.Store, c cid.CID, dir string) error {
	if err := store.Export(ctx, c, dir); err != nil {
		return err
	}
	return exec.Command("chmod", "-R", "u+w", dir).Run()
}
