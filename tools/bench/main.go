// Bench measures nuka beside the programs it is compared with, in the same run and in turn,
// and prints medians as a table: figure, peer's figure, ratio, target, memory.
//
// It is run by tools/bench.sh, which installs the peers and builds the packages.
// All inputs are made here, below one temporary folder, which is removed at the end.
// A figure whose peer is missing is printed without it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// bench is what all figures are measured with.
type bench struct {
	nuka, wazero string // programs; wazero may be ""
	home         string // NUKA_HOME in which the packages are built
	dir          string // temporary
	rounds       int
	verbose      bool
	table        table
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
	flag.StringVar(&only, "only", "", "measure only the parts with these names: eval,run,import,compile")
	flag.StringVar(&profile, "cpuprofile", "", "write a CPU profile of a child (import, compile) to this file")
	flag.Parse()
	if args := flag.Args(); len(args) > 0 {
		if err := child(args, profile); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
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
	for _, p := range []*string{&b.nuka, &b.dir, &b.home} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return err
			}
		}
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{{"eval", b.eval}, {"run", b.program}, {"import", b.imports}, {"compile", b.compile}} {
		if only != "" && !strings.Contains(","+only+",", ","+part.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", part.name)
		if err := part.run(); err != nil {
			b.table.print(os.Stdout)
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	fmt.Printf("%d cores, %s/%s; medians; memory is the peak of resident memory\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	b.table.print(os.Stdout)
	return nil
}

// child is the part of this program that is measured as a process of its own.
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
	}
	return fmt.Errorf("unknown part %q", args[0])
}
