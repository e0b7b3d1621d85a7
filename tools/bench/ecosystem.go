package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/ecosystem"
)

const (
	mostRecord = 1.15 // of an install by the manager alone
	mostReplay = 1.1  // of the manager's own install without network
	mostDisk   = 1.1  // of the disk that the manager's own store takes
)

// ecosystem measures package managers alone, recorded and replayed, then the disk of ten like environments, and the memory of the recorder.
// Registries are those that the clients are configured for, and recordings go to the network: the load of both is in the figures.
func (b *bench) ecosystem() error {
	var failed error
	for _, c := range b.clients() {
		if !b.wants(c.name) {
			continue
		}
		if c.missing != "" {
			fmt.Fprintf(os.Stderr, "bench: %s is left out: %s\n", c.name, c.missing)
			continue
		}
		began := load()
		if err := b.client(c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
		}
		b.loads = append(b.loads, fmt.Sprintf("%s %s to %s", c.name, began, load()))
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{{"disk", b.disks}, {"memory", b.passing}} {
		if !b.wants(part.name) {
			continue
		}
		began := load()
		if err := part.run(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", part.name, err))
		}
		b.loads = append(b.loads, fmt.Sprintf("%s %s to %s", part.name, began, load()))
	}
	return failed
}

func (b *bench) wants(name string) bool {
	return b.with == "" || slices.Contains(strings.Split(b.with, ","), name)
}

// load returns the load of the machine in the last minute; "?" where it is not told.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// A place is where one install happens. Each install has a new one.
type place struct {
	project, cache, target, setup string
	warm                          *place // the install whose cache is used; nil for installs with the network
}

// place makes a place with a copy of a project.
func (b *bench) place(c *client, project string) (*place, error) {
	dir, err := os.MkdirTemp(b.dir, c.adapter+"-")
	if err != nil {
		return nil, err
	}
	p := &place{project: filepath.Join(dir, "project"), cache: filepath.Join(dir, "cache"), target: filepath.Join(dir, "target"), setup: filepath.Join(dir, "setup")}
	if project != "" {
		err = os.CopyFS(p.project, os.DirFS(project))
	} else {
		err = os.Mkdir(p.project, 0o755)
	}
	return p, errors.Join(err, os.Mkdir(p.cache, 0o755), os.Mkdir(p.setup, 0o755))
}

func (p *place) remove() { remove(filepath.Dir(p.project)) }

// task returns a command of a client in a place.
func (p *place) task(c *client, args ...string) task {
	return task{args: args, dir: p.project, env: c.env(p)}
}

// shared has what all measurements of one client share.
type shared struct {
	first, second string // the locked projects
	warm          *place
	files         *ecosystem.Folder // of the recording
	recording     *ecosystem.Recording
}

// client measures one manager.
func (b *bench) client(c *client) error {
	fmt.Fprintf(os.Stderr, "bench: %s\n", c.name)
	s, err := b.prepare(c)
	if err != nil {
		return err
	}
	if err := b.online(c, s); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := b.again(c, s); err != nil {
		return fmt.Errorf("second project: %w", err)
	}
	if err := b.offline(c, s); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// prepare has the manager lock both projects, and fills a cache of its own with the first one.
func (b *bench) prepare(c *client) (*shared, error) {
	var made []string
	for _, more := range []bool{false, true} {
		from := ""
		if more {
			from = made[0]
		}
		p, err := b.place(c, from)
		if err != nil {
			return nil, err
		}
		if err := c.lock(p, more); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		made = append(made, p.project)
	}
	warm, err := b.place(c, made[0])
	if err != nil {
		return nil, err
	}
	if _, err := warm.task(c, c.install(warm)...).measure(); err != nil {
		return nil, err
	}
	if c.fill != nil {
		err = c.fill(warm)
	}
	return &shared{first: made[0], second: made[1], warm: warm}, err
}

// online measures installs with an empty cache, without and with the recorder. Every second round begins with the other one.
func (b *bench) online(c *client, s *shared) error {
	var alone, ours []sample
	var last *recorded
	for round := range b.rounds {
		for i := range 2 {
			p, err := b.place(c, s.first)
			if err != nil {
				return err
			}
			if (round+i)%2 == 0 {
				one, err := p.task(c, c.install(p)...).measure()
				if err != nil {
					return err
				}
				alone = append(alone, one)
				b.took(c, "alone", one)
			} else {
				files, err := ecosystem.NewFolder(filepath.Join(p.setup, "store"))
				if err != nil {
					return err
				}
				if last, err = b.record(c, p, files); err != nil {
					return err
				}
				ours = append(ours, last.sample)
				b.took(c, "recorded", last.sample)
				s.files, s.recording = files, last.recording
				continue // the store is needed
			}
			p.remove()
		}
	}
	ratio := float64(wall(ours)) / float64(wall(alone))
	b.table.add(c.name+": record", round(wall(ours)), c.name+", cache empty", round(wall(alone)), fmt.Sprintf("%.2f×", ratio), fmt.Sprintf("≤ %.2f×", mostRecord), met(ratio <= mostRecord))
	b.table.add("… processor time, both", round(cpu(ours)), "alone", round(cpu(alone)), fmt.Sprintf("%.2f×", float64(cpu(ours))/float64(cpu(alone))))
	b.table.add("… requests to registries", fmt.Sprint(last.up.requests), "by the client", fmt.Sprint(last.requests))
	b.table.add("… recording", fmt.Sprintf("%d kB", last.text/1000), "files", fmt.Sprintf("%d, %.1f MB", len(last.recording.Files()), float64(last.size)/1e6))
	return nil
}

// again records the second project with the store that the first one filled.
func (b *bench) again(c *client, s *shared) error {
	p, err := b.place(c, s.second)
	if err != nil {
		return err
	}
	defer p.remove()
	had := map[string]bool{} // files of the first project
	for _, f := range s.recording.Files() {
		had[f.Hash.String()] = true
	}
	r, err := b.record(c, p, s.files)
	if err != nil {
		return err
	}
	fresh := 0
	for _, f := range r.recording.Files() {
		if !had[f.Hash.String()] {
			fresh++
		}
	}
	b.table.add(c.name+": second project", fmt.Sprintf("%d downloaded", r.downloads), fmt.Sprintf("new, of %d files", len(r.recording.Files())), fmt.Sprint(fresh), "", "only new", met(r.downloads <= fresh))
	b.table.add("… requests to registries, bytes", fmt.Sprintf("%d, %.1f MB", r.up.requests, float64(r.up.bytes)/1e6))
	return nil
}

// offline measures replays beside the manager's own ways to install without network, all of them in name spaces that have loopback only.
func (b *bench) offline(c *client, s *shared) error {
	all := make([][]sample, 1+len(c.offline))
	for round := range b.rounds {
		for k := range all {
			i := (round + k) % len(all)
			p, err := b.place(c, s.first)
			if err != nil {
				return err
			}
			p.warm = s.warm
			var one sample
			if i == 0 {
				one, err = b.replay(c, p, s)
			} else {
				one, err = b.without(c, c.offline[i-1], p)
			}
			if err != nil {
				return err
			}
			p.remove()
			all[i] = append(all[i], one)
			b.took(c, fmt.Sprint("offline ", i), one)
		}
	}
	for i, o := range c.offline {
		ratio := float64(wall(all[0])) / float64(wall(all[i+1]))
		target, ok := "", ""
		if o.judged {
			target, ok = fmt.Sprintf("≤ %.1f×", mostReplay), met(ratio <= mostReplay)
		}
		b.table.add(c.name+": replay", round(wall(all[0])), o.name, round(wall(all[i+1])), fmt.Sprintf("%.2f×", ratio), target, ok)
	}
	return nil
}

// without measures one of the manager's own ways without network.
func (b *bench) without(c *client, o offline, p *place) (s sample, err error) {
	if o.before != nil {
		if err := o.before(p); err != nil {
			return s, err
		}
	}
	t := p.task(c, append(c.install(p), o.args(p)...)...)
	if o.env != nil {
		t.env = append(t.env, o.env(p)...)
	}
	err = lonely("", func(net.Listener) error {
		s, err = t.measure()
		return err
	})
	return s, err
}

func (b *bench) took(c *client, what string, s sample) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, "%s %s: %s, cpu %s\n", c.name, what, round(s.wall), s.cpu.Round(time.Millisecond))
	}
}
