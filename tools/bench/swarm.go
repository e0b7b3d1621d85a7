package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A peer is a program that copies a tree from one place on this machine to another, from disk to disk.
type peer interface {
	name() string
	// give imports the tree below src into the provider's store, in a new folder.
	give(dir, src string) error
	// take fetches the tree into a new folder and returns the measurement; it calls ready directly before, when everything else is running.
	take(dst string, ready func() error) (sample, error)
}

// errLeftOut is wrapped by the reasons why a peer cannot be compared.
var errLeftOut = errors.New("left out")

// fetches measures transfers of trees from a peer on this machine, by nuka and by others.
func (b *bench) fetches() error {
	inputs := []input{{binary(b.size), 1, int(b.size)}}
	if b.files > 0 {
		inputs = append(inputs, input{thousands(b.files) + " × 4 KiB", b.files, 4 << 10})
	}
	for _, in := range inputs {
		if err := b.fetch(in); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fetch(in input) error {
	dir := filepath.Join(b.dir, fmt.Sprint("f", in.files))
	if in.files > 1 && b.fresh != "" {
		dir = filepath.Join(b.fresh, "f")
	}
	defer remove(dir)
	src := filepath.Join(dir, "tree")
	if err := in.make(src); err != nil {
		return err
	}
	var peers []peer
	for _, p := range b.peers(in) {
		home := filepath.Join(dir, fmt.Sprint("g", len(peers)))
		if err := os.Mkdir(home, 0o755); err != nil {
			return err
		}
		begin := time.Now()
		err := p.give(home, src)
		switch {
		case err == nil:
			peers = append(peers, p)
			b.say("%s, %s: ready after %s", in.name, p.name(), round(time.Since(begin)))
		case strings.HasPrefix(p.name(), "nuka"):
			return fmt.Errorf("%s: %w", p.name(), err)
		default:
			fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", p.name(), err)
			remove(home)
		}
	}
	all := map[string][]sample{}
	for r := range b.rounds {
		for i, p := range peers {
			// As with imports: large files are removed at once, many small ones at the end.
			dst := filepath.Join(dir, fmt.Sprintf("t%d-%d", r, i))
			if err := os.Mkdir(dst, 0o755); err != nil {
				return err
			}
			s, err := p.take(dst, func() error {
				if err := readAll(src, filepath.Join(dir, "g*")); err != nil {
					return err
				}
				if _, err := (task{args: []string{"sync"}}).measure(); err != nil {
					return err
				}
				return warm(filepath.Join(filepath.Dir(dir), "warm"), int64(in.files)*int64(in.size)*5/2)
			})
			if err != nil && strings.HasPrefix(p.name(), "nuka") {
				return fmt.Errorf("%s: %w", p.name(), err)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: a sample of %s is left out: %v\n", p.name(), err)
				continue
			}
			b.say("%s, %s: %s, cpu %s, %s", in.name, p.name(), round(s.wall), round(s.cpu), mib(s.memory))
			all[p.name()] = append(all[p.name()], s)
			if in.files < 1000 {
				remove(dst)
			}
		}
	}
	b.report(in, slices.DeleteFunc(peers, func(p peer) bool { return len(all[p.name()]) == 0 }), all)
	return nil
}

// readAll reads all files below the folders that match the patterns. Some machines evict files that were not used for a minute from the
// page cache, and every provider should find its files there.
func readAll(patterns ...string) error {
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = io.Copy(io.Discard, f)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// report adds the measurements of an input to the tables.
func (b *bench) report(in input, peers []peer, all map[string][]sample) {
	for _, p := range peers {
		list := all[p.name()]
		amount := float64(in.files) * float64(in.size) / (1 << 20)
		per := "MiB/s"
		if in.files > 1 {
			amount, per = float64(in.files), "files/s"
		}
		b.speeds.add("get "+in.name, p.name(), round(wall(list)), fmt.Sprintf("%.0f %s", amount/wall(list).Seconds(), per), round(cpu(list)), memory(list))
	}
	for _, transport := range transports {
		ours := all[nukaName(transport)]
		if len(ours) == 0 {
			continue
		}
		figure := "get " + in.name + ", " + transport
		for _, p := range peers {
			list := all[p.name()]
			ratio := float64(wall(list)) / float64(wall(ours))
			target, ok := "", ""
			switch name := p.name(); {
			case strings.HasPrefix(name, "nuka"):
				continue
			case strings.HasPrefix(name, rawName):
				if !strings.HasSuffix(name, transport) {
					continue
				}
				if name == rawName+", "+transport {
					target, ok = "≥ 0.7×", met(ratio >= 0.7)
				}
			case strings.HasPrefix(name, "kubo"):
				target, ok = "≥ 3×", met(ratio >= 3)
			case name == "iroh 0.35":
				target, ok = "≥ 2×", met(ratio >= 2)
			case name == "nix copy":
				target, ok = "> 1×", met(ratio > 1)
			}
			b.table.add(figure, round(wall(ours)), p.name(), round(wall(list)), fmt.Sprintf("%.2f×", ratio), target, ok, memory(ours), memory(list))
		}
		if in.files == 1 {
			most := int64(0)
			for _, s := range ours {
				most = max(most, s.memory)
			}
			b.table.add(figure+", memory", mib(most), "", "", "", "< 200 MiB", met(most < 200<<20))
		}
	}
}

// peers returns every peer that can transfer an input.
func (b *bench) peers(in input) []peer {
	wanted := func(name string) bool {
		return b.with == "" || strings.Contains(","+b.with+",", ","+name+",")
	}
	var list []peer
	if wanted("nuka") {
		home := &nukaGiver{b: b}
		for _, t := range transports {
			list = append(list, &nukaPeer{b: b, transport: t, giver: home})
		}
	}
	if in.files == 1 && wanted("raw") { // small files would need a protocol, and the stream would not be bare any more
		for _, t := range transports {
			list = append(list, &rawPeer{b: b, transport: t}, &rawPeer{b: b, transport: t, alone: true})
		}
	}
	kubo, nix := &kuboGiver{b: b}, &nixGiver{}
	for _, p := range []struct {
		name string
		peer peer
	}{
		{"kubo", &kuboPeer{kuboGiver: kubo}}, {"kubo", &kuboPeer{kubo, true}}, {"iroh", &irohPeer{b: b}}, {"nix", &nixPeer{giver: nix}}, {"nix", &nixPeer{giver: nix, sync: true}},
		{"rsync", &rsyncPeer{}}, {"http", &httpPeer{}},
	} {
		if wanted(p.name) {
			list = append(list, p.peer)
		}
	}
	return list
}

func (b *bench) say(format string, args ...any) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	}
}

// installed reports whether the programs are installed; the error names missing ones.
func installed(programs ...string) error {
	for _, p := range programs {
		if p == "" {
			return errLeftOut
		}
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	return nil
}

func binary(n int64) string {
	if n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return mib(n)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
