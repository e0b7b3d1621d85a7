package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/protocol"
)

// A buildSet is a set of packages with one root, all.nu, which is built in several situations, by nuka and by Nix in turn.
type buildSet struct {
	b        *bench
	name     string
	dir      string   // of all.nu, and of all.nix unless nix is ""
	args     []string // for nuka build
	home     string   // NUKA_HOME, made anew for each cold build
	template string   // a home that has the sources; "" if the set has none
	nix      string   // the folder for Nix's store and state; "" leaves Nix out
	// The changes. Each takes a number, so that its text is new each time; reset undoes both.
	reset         func() error
	comment, leaf func(n int) error
	changes       int // how often comment and leaf were called
	situations    []*situation
}

// A situation is one state of the store and of the files before a build, with the samples of the builds that began there.
type situation struct {
	name         string
	ours, theirs []sample
	counts       map[protocol.Way]int
	root         string // CID
	nixBuilt     int
}

// at returns the situation of a name, which it makes.
func (s *buildSet) at(name string) *situation {
	for _, have := range s.situations {
		if have.name == name {
			return have
		}
	}
	made := &situation{name: name}
	s.situations = append(s.situations, made)
	return made
}

// The situations of a set.
const (
	coldCode   = "cold, machine code not cached" // a new home, or one that has the sources only
	cold       = "cold"                          // the same, with the machine code of an earlier build
	nothing    = "nothing changed"
	oneComment = "comment changed in the deepest input"
	oneLeaf    = "leaf changed"
)

// measure builds the set in each situation, the short ones several times.
func (s *buildSet) measure() error {
	changed := func(change func(int) error) func() error {
		return func() error {
			s.changes++
			return change(s.changes)
		}
	}
	steps := []struct {
		situation string
		times     int
		prepare   func() error
		nix       bool
	}{
		{coldCode, 1, func() error { return errors.Join(s.reset(), s.renew(false), s.renewNix()) }, true},
		{cold, 1, func() error { return s.renew(true) }, false},
		{nothing, 5, func() error { return nil }, true},
		{oneComment, 3, changed(s.comment), true},
		{oneLeaf, 3, changed(s.leaf), true},
	}
	for _, step := range steps {
		at := s.at(step.situation)
		for range step.times {
			err := step.prepare()
			if err == nil {
				err = s.byNuka(at)
			}
			if err == nil && s.nix != "" && step.nix {
				err = s.byNix(at)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", step.situation, err)
			}
		}
	}
	s.at(cold).theirs, s.at(cold).nixBuilt = s.at(coldCode).theirs, s.at(coldCode).nixBuilt // Nix has no machine code to keep
	if was, is := s.at(cold).root, s.at(oneComment).root; was != is {
		return fmt.Errorf("a comment changed the root from %s to %s", was, is)
	}
	return nil
}

// renew stops the home's daemon and makes the home anew, with the sources alone, or with the machine code too.
func (s *buildSet) renew(keepCode bool) error {
	if err := s.b.stop(s.home); err != nil {
		return err
	}
	cache, kept := filepath.Join(s.home, "cache"), s.home+"-cache"
	move := func(from, to string) error {
		_, err := (task{args: []string{"mv", from, to}}).measure()
		return err
	}
	if keepCode {
		if err := move(cache, kept); err != nil {
			return err
		}
	}
	remove(s.home)
	if s.template != "" {
		if _, err := (task{args: []string{"cp", "-a", s.template, s.home}}).measure(); err != nil {
			return err
		}
	}
	err := errors.Join(os.MkdirAll(s.home, 0o700), os.RemoveAll(cache))
	if keepCode && err == nil {
		err = move(kept, cache)
		for _, name := range []string{"eval", "stat"} { // evaluations and the hashes of files are not machine code
			err = errors.Join(err, os.RemoveAll(filepath.Join(cache, name)))
		}
	}
	return err
}

func (s *buildSet) renewNix() error {
	if s.nix == "" {
		return nil
	}
	remove(s.nix)
	return os.MkdirAll(s.nix, 0o755)
}

// byNuka builds the set with nuka and compares what was done with the rounds before. A cold build counts the start of the daemon.
func (s *buildSet) byNuka(at *situation) error {
	build := task{args: append([]string{s.b.nuka, "build", "./all.nu", "--json", "--offline"}, s.args...), dir: s.dir, env: s.b.at(s.home)}
	before, err := s.b.daemonOf(s.home)
	if err != nil {
		before = 0 // none runs
	}
	used := before.cpu()
	took, err := build.measure()
	if err != nil {
		return err
	}
	now, err := s.b.daemonOf(s.home)
	if err != nil {
		return err
	}
	took.cpu += now.cpu() - used
	took.memory = now.peak()
	at.ours = append(at.ours, took)
	if s.b.verbose {
		fmt.Fprintf(os.Stderr, "bench: %s, %s: nuka %s, CPU %s\n", s.name, at.name, round(took.wall), round(took.cpu))
	}
	var realized protocol.Realized
	if err := json.Unmarshal([]byte(took.out), &realized); err != nil || len(realized.Outputs) != 1 {
		return fmt.Errorf("nuka build printed %q: %w", took.out, err)
	}
	delete(realized.Counts, protocol.Present) // says how far the planner looked
	if root := realized.Outputs[0].CID; len(at.ours) == 1 {
		at.root, at.counts = root, realized.Counts
	} else if at.name != oneLeaf && at.root != root || !maps.Equal(at.counts, realized.Counts) {
		return fmt.Errorf("one round did %v and gave %s, another did %v and gave %s", at.counts, at.root, realized.Counts, root)
	}
	return nil
}

// byNix builds the set with nix-build, alone and without a daemon.
func (s *buildSet) byNix(at *situation) error {
	in := func(name string) string { return filepath.Join(s.nix, name) }
	build := task{args: []string{"nix-build", "--no-out-link", "-j", "auto", "all.nix"}, dir: s.dir, env: []string{
		"NIX_REMOTE=", "HOME=" + s.nix, "XDG_CACHE_HOME=" + s.nix, "NIX_STORE_DIR=" + in("store"), "NIX_STATE_DIR=" + in("state"),
		"NIX_LOG_DIR=" + in("log"), "NIX_CONF_DIR=" + in("conf"),
		"NIX_CONFIG=substituters =\nsandbox = false\nbuild-users-group =\n"}} //nolint:misspell // it is called that
	took, err := build.measure()
	if err != nil {
		return err
	}
	if s.b.verbose {
		fmt.Fprintf(os.Stderr, "bench: %s, %s: Nix %s, CPU %s\n", s.name, at.name, round(took.wall), round(took.cpu))
	}
	at.theirs = append(at.theirs, took)
	at.nixBuilt = strings.Count(took.errs, "building '")
	return nil
}

// real measures builds of the generated graph and of the package set, and compares them with the committed table.
func (b *bench) real() error {
	if b.home == "" {
		return nil
	}
	made, err := b.generatedSet()
	if err != nil {
		return err
	}
	set, err := b.packageSet()
	if err != nil {
		return err
	}
	var figures []figure
	for _, s := range []*buildSet{made, set} {
		rounds := b.rounds
		if s == set { // one takes minutes
			rounds = max(1, b.rounds/3)
		}
		for range rounds {
			if err := s.measure(); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", s.name, err), b.stop(s.home))
			}
		}
		if err := b.stop(s.home); err != nil {
			return err
		}
		figures = append(figures, s.figures(made)...)
	}
	return b.compareCommitted(figures)
}

// generatedSet is the generated graph.
func (b *bench) generatedSet() (*buildSet, error) {
	list := graph(generatedPackages)
	leaf, err := leafOf(list)
	if err != nil {
		return nil, err
	}
	s := &buildSet{b: b, name: "generated", dir: filepath.Join(b.dir, "generated"), home: filepath.Join(b.dir, "generated-home")}
	if err := installed("nix-build"); err == nil {
		s.nix = filepath.Join(b.dir, "nix")
	} else {
		fmt.Fprintf(os.Stderr, "bench: %v: its figures are left out\n", err)
	}
	s.reset = func() error {
		return errors.Join(list[0].write(s.dir, "the first text", ""), leaf.write(s.dir, "the first text", ""))
	}
	s.comment = func(n int) error { return list[0].write(s.dir, fmt.Sprint("change ", n), "") }
	s.leaf = func(n int) error { return leaf.write(s.dir, "the first text", fmt.Sprint("change ", n)) }
	return s, generate(s.dir, list)
}

// packageSet is the package set. It downloads the sources into a home of its own, where they are kept for the next time.
func (b *bench) packageSet() (*buildSet, error) {
	s := &buildSet{b: b, name: "package set", dir: filepath.Join(b.dir, "packages"), home: filepath.Join(b.dir, "packages-home"), template: b.home}
	s.args = []string{"--packages", filepath.Join(s.dir, "set")}
	if _, err := realPackages(s.dir); err != nil {
		return nil, err
	}
	fetch := task{args: append([]string{b.nuka, "build", "./sources.nu"}, s.args...), dir: s.dir, env: b.at(s.template)}
	took, err := fetch.measure()
	if err := errors.Join(err, b.stop(s.template)); err != nil {
		return nil, fmt.Errorf("download the sources of the package set: %w", err)
	}
	fmt.Fprintf(os.Stderr, "bench: the sources took %s to download, if they were not kept\n", round(took.wall))
	const begin = "build: {|b|\n"
	edit := func(name, text string) error {
		original, err := fs.ReadFile(packages.FS, name)
		if err == nil && !strings.Contains(string(original), begin) {
			err = errors.New(name + " has no build closure")
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(s.dir, "set", name), []byte(strings.Replace(string(original), begin, begin+text, 1)), 0o644)
	}
	const deepest, leaf = "toolchain/clang.nu", "app/hello.nu"
	s.reset = func() error { return errors.Join(edit(deepest, ""), edit(leaf, "")) }
	s.comment = func(n int) error { return edit(deepest, fmt.Sprintf("# Change %d.\n", n)) }
	s.leaf = func(n int) error { return edit(leaf, fmt.Sprintf("\"%d\" | save $\"($b.out)/change\"\n", n)) }
	return s, nil
}

// figures returns the rows of a set. The package set has no like derivations for Nix: its times are put beside those of Nix with the
// generated graph in the same situation, so that the ratio follows the speed of the machine less.
func (s *buildSet) figures(made *buildSet) (rows []figure) {
	for _, at := range s.situations {
		name, theirs := s.name+": "+at.name, at.theirs
		if s != made {
			theirs = made.at(at.name).theirs
		}
		for _, by := range []struct {
			suffix string
			of     func([]sample) float64
		}{
			{"", func(l []sample) float64 { return wall(l).Seconds() }},
			{processor, func(l []sample) float64 { return cpu(l).Seconds() }},
		} {
			f := figure{row: name + by.suffix, value: fmt.Sprintf("%.2f", by.of(at.ours)), unit: "s"}
			if len(theirs) > 0 {
				f.ratio, f.peer = by.of(at.ours)/by.of(theirs), fmt.Sprintf("%.2f s", by.of(theirs))
			}
			rows = append(rows, f)
		}
		var done []string
		for _, way := range slices.Sorted(maps.Keys(at.counts)) {
			done = append(done, fmt.Sprintf("%d %s", at.counts[way], way))
		}
		f := figure{row: name + ", done", value: strings.Join(done, ", "), unit: "packages"}
		if f.value == "" {
			f.value = "nothing"
		}
		if len(at.theirs) > 0 {
			f.peer = fmt.Sprintf("%d built", at.nixBuilt)
		}
		rows = append(rows, f)
		if at.name != oneLeaf { // its content has the number of the change in it
			rows = append(rows, figure{row: name + ", root", value: at.root, unit: "CID"})
		}
	}
	return rows
}
