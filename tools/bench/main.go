// Bench measures nuka and the programs it is compared with, in the same run and in turn,
// and prints medians as a table: figure, peer's figure, ratio, target, memory.
//
// Run it with tools/bench.sh, which installs the peers and builds the packages.
// Bench creates all inputs below one temporary folder, which it removes at the end.
// If a peer is missing, the figure is printed without it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/kubo"
)

// bench holds the settings and results of all measurements.
type bench struct {
	nuka, wazero string // programs; wazero may be ""
	home         string // NUKA_HOME in which the packages are built
	dir          string // temporary
	rounds       int
	verbose      bool
	table        table

	// The input of fetches, and the programs compared with nuka. A program that is "" is left out.
	size       int64  // of the one large file
	files      int    // the number of small files; 0 is none
	with       string // only these candidates; "" means all
	ipfs       string
	iroh       string // the script
	irohModule string
	raw        string // node/swarm's test binary
	fresh      string // a new file system, for small files: others are slow where many were removed lately
	speeds     table

	// What is built as a whole, beside Nix.
	committed string // the file of the committed table
	update    bool   // write it
	builds    table

	// Package managers.
	python     string // an environment with pip and uv
	pnpm       string
	registries map[string][]ecosystem.Upstream // of the user's clients, by ecosystem
	loads      []string                        // of the machine, by part
}

func main() {
	b := &bench{}
	var only, dir, profile string
	flag.StringVar(&b.nuka, "nuka", "bin/nuka", "the command")
	flag.StringVar(&b.wazero, "wazero", "", "wazero's command; empty leaves the comparison out")
	flag.StringVar(&b.home, "home", "", "the NUKA_HOME that has the packages; empty leaves out what needs it")
	flag.StringVar(&dir, "dir", "", "where to work; empty is a temporary folder")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each candidate runs; short ones run four times as often")
	flag.BoolVar(&b.verbose, "v", false, "print each sample as it comes")
	flag.StringVar(&only, "only", "eval,run,import,compile", "measure only the parts with these names: eval,run,import,compile,lists,swarm,idle,real,store,exec,ecosystem,audit,posix")
	size := flag.String("size", "1GiB", "swarm: how large the large file is, in MiB or GiB")
	flag.IntVar(&b.files, "files", 10_000, "swarm: how many small files; 0 leaves them out")
	flag.StringVar(&b.with, "with", "", "only these candidates: nuka,raw,kubo,iroh,nix,rsync,http of swarm; pip,uv,npm,cargo,go,Maven,disk,memory of ecosystem; empty is all")
	flag.StringVar(&b.ipfs, "ipfs", "", "swarm: kubo's command")
	flag.StringVar(&b.iroh, "iroh", "", "swarm: the script iroh.mjs")
	flag.StringVar(&b.irohModule, "iroh-module", "", "swarm: the folder of iroh's npm package")
	flag.StringVar(&b.fresh, "fresh", "", "swarm: a folder of a new file system, for the small files")
	flag.StringVar(&b.raw, "raw", "", "swarm: the test binary of node/swarm")
	flag.StringVar(&b.committed, "committed", "tools/bench/real.tsv", "real: the committed table")
	flag.BoolVar(&b.update, "update", false, "real: write the committed table")
	flag.StringVar(&b.python, "python", "", "ecosystem, audit: a Python environment with pip and uv")
	flag.StringVar(&b.pnpm, "pnpm", "", "ecosystem: pnpm's command")
	flag.StringVar(&profile, "cpuprofile", "", "write a CPU profile of a child (import, compile) to this file")
	flag.Parse()
	if args := flag.Args(); len(args) > 0 {
		if err := child(args, profile); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var err error
	if b.size, err = parseSize(*size); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := b.run(dir, only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(dir, only string) (err error) {
	if b.dir, err = os.MkdirTemp(dir, "nuka-bench-"); err != nil {
		return err
	}
	defer remove(b.dir)
	for _, p := range []*string{&b.nuka, &b.dir, &b.home, &b.ipfs, &b.iroh, &b.irohModule, &b.raw, &b.fresh, &b.python, &b.pnpm} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return err
			}
		}
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{{"eval", b.eval}, {"run", b.program}, {"import", b.imports}, {"compile", b.compile}, {"lists", b.lists},
		{"swarm", b.fetches}, {"idle", b.idle}, {"real", b.real}, {"store", b.store}, {"exec", b.foreign}, {"ecosystem", b.ecosystem}, {"audit", b.audit}, {"posix", b.posix}} {
		if !strings.Contains(","+only+",", ","+part.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", part.name)
		if err := part.run(); err != nil {
			b.print()
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	fmt.Printf("%d cores, %s/%s; medians; memory is the peak of resident memory\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	if len(b.loads) > 0 {
		fmt.Printf("load of the last minute, at the beginning and the end of each part: %s\n\n", strings.Join(b.loads, ", "))
	}
	b.print()
	return nil
}

func (b *bench) print() {
	if len(b.table) > 0 || len(b.builds) == 0 {
		b.table.print(os.Stdout, "figure", "nuka", "peer", "peer's", "ratio", "target", "met", "memory", "peer's")
	}
	if len(b.builds) > 0 {
		b.builds.print(os.Stdout, "figure", "nuka", "Nix", "ratio", "committed", "")
	}
	if len(b.speeds) > 0 {
		fmt.Println()
		b.speeds.print(os.Stdout, "figure", "by", "took", "which is", "cpu, both ends", "memory")
	}
}

// parseSize reads a size such as 64MiB or 4GiB.
func parseSize(s string) (int64, error) {
	for unit, bytes := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30} {
		if n, err := strconv.ParseInt(strings.TrimSuffix(s, unit), 10, 32); err == nil && strings.HasSuffix(s, unit) && n > 0 {
			return n * bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is no size: write 64MiB or 4GiB", s)
}

// child runs the part of this program that is measured as a separate process.
func child(args []string, profile string) error {
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
	switch {
	case args[0] == "import" && len(args) == 3:
		return importChild(args[1], args[2])
	case args[0] == "compile" && len(args) == 4:
		return compileChild(args[1], args[2], args[3])
	case args[0] == "kubo" && len(args) == 2:
		_, err := kubo.Build(args[1])
		return err
	case args[0] == "pass" && len(args) == 3:
		return passChild(args[1], args[2])
	case args[0] == "serve" && len(args) == 2:
		return serveChild(args[1])
	case args[0] == "download" && len(args) == 4:
		return downloadChild(args[1], args[2], args[3])
	}
	return fmt.Errorf("unknown part %q", args[0])
}
