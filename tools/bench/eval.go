package main

import (
	"fmt"
	"path/filepath"
)

func (b *bench) at(home string) []string { return []string{"NUKA_HOME=" + home} }

// eval measures the evaluation of a package: the first one in a new home, and one with a daemon and the cache.
func (b *bench) eval() error {
	cold := task{args: []string{b.nuka, "eval", "lua"}}
	samples := make([]sample, 0, b.rounds)
	for i := range max(3, b.rounds/2) {
		home := filepath.Join(b.dir, fmt.Sprint("cold-", i))
		cold.env = b.at(home)
		s, err := cold.measure()
		if err == nil {
			err = b.stop(home)
		}
		if err != nil {
			return err
		}
		samples = append(samples, s)
		remove(home)
	}
	b.table.add("eval lua, new home", round(wall(samples)), "", "", "", "", "", memory(samples))

	home := filepath.Join(b.dir, "warm")
	if _, err := (task{args: []string{b.nuka, "daemon", "start"}, env: b.at(home)}).measure(); err != nil {
		return err
	}
	defer b.stop(home) //nolint:errcheck // the folder goes anyway
	cold.env = b.at(home)
	if _, err := cold.measure(); err != nil {
		return err
	}
	warm, err := inTurn(4*b.rounds, []task{cold}, nil)
	if err != nil {
		return err
	}
	b.table.add("eval lua, cached", round(wall(warm[0])), "", "", "", "", "", memory(warm[0]))
	idle, err := b.daemonMemory(home)
	if err != nil {
		return err
	}
	b.table.add("daemon, nothing built", "", "", "", "", "", "", idle)
	return nil
}

// stop stops the daemon of a home if one runs.
func (b *bench) stop(home string) error {
	if _, err := (task{args: []string{b.nuka, "status"}, env: b.at(home)}).measure(); err != nil {
		return nil
	}
	_, err := (task{args: []string{b.nuka, "daemon", "stop"}, env: b.at(home)}).measure()
	return err
}

// daemonMemory returns the peak memory of a home's daemon, or "" if the system does not report it.
func (b *bench) daemonMemory(home string) (string, error) {
	daemon, err := b.daemonOf(home)
	if err != nil {
		return "", err
	}
	if peak := daemon.peak(); peak > 0 {
		return mib(peak), nil
	}
	return "", nil
}
