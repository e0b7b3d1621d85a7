package prepared

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// raceWindow is how old a change must be for the next one to show in the times of a file. The coarsest clock of a file system in use, that of FAT, ticks every
// two seconds.
const raceWindow = 2 * time.Second

// A look is a way to look at a path.
type look string

const (
	lookFile    look = "file"    // the file that the path leads to: its number, size, times, owner and mode; of a folder only that it is one
	lookEntry   look = "entry"   // the same of the path itself, which may be a link
	lookNames   look = "names"   // the folder, with the names in it
	lookLeadsTo look = "leadsto" // the path after all links, and whether it is a folder
)

// A fact is what a look at a path saw: "" is nothing.
type fact struct {
	Look look   `json:"look"`
	Path string `json:"path"`
	Seen string `json:"seen,omitempty"`
}

// A State is what a preparation took from files. The methods that record look at a path at once. If the preparation depends on whether a path exists, it calls
// them before it looks itself, and again afterwards.
type State struct {
	facts []fact
	index map[fact]int // by look and path
	began time.Time
	lost  bool // a file changed meanwhile, or may have
}

// NewState returns the state of a preparation that begins now.
func NewState() *State { return &State{index: map[fact]int{}, began: time.Now()} }

// File records that a file was read, or was missing. A folder may change, but not become anything else.
func (s *State) File(path string) { s.record(lookFile, path) }

// Entry records as File does, and does not follow a link.
func (s *State) Entry(path string) { s.record(lookEntry, path) }

// Names records that a folder was listed.
func (s *State) Names(path string) { s.record(lookNames, path) }

// LeadsTo records where a path leads after all links, or that it leads nowhere.
func (s *State) LeadsTo(path string) { s.record(lookLeadsTo, path) }

// Followed records where a path led when the preparation followed it: at, or "" if nowhere.
func (s *State) Followed(path, at string) {
	s.LeadsTo(path)
	if now, err := filepath.EvalSymlinks(path); err != nil && at != "" || err == nil && now != at {
		s.lost = true
	}
}

// Lose makes the state hold never.
func (s *State) Lose() { s.lost = true }

func (s *State) record(l look, path string) {
	seen, changed := l.at(path)
	if !changed.IsZero() && changed.After(s.began.Add(-raceWindow)) {
		s.lost = true // it may have changed since it was read, or may change again without a trace
	}
	key := fact{Look: l, Path: path}
	if i, known := s.index[key]; known {
		s.lost = s.lost || s.facts[i].Seen != seen
		return
	}
	s.index[key] = len(s.facts)
	s.facts = append(s.facts, fact{l, path, seen})
}

// holds reports whether each look sees what it saw.
func holds(facts []fact) bool {
	for _, f := range facts {
		if now, _ := f.Look.at(f.Path); now != f.Seen {
			return false
		}
	}
	return true
}

// at returns what is seen at a path, and when it last changed, or zero where that does not count. What cannot be looked at is not seen.
func (l look) at(path string) (seen string, changed time.Time) {
	switch l {
	case lookLeadsTo:
		at, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", time.Time{}
		}
		if info, err := os.Lstat(at); err == nil && info.IsDir() {
			return at + "/", time.Time{}
		}
		return at, time.Time{}
	case lookFile, lookNames:
		info, err := os.Stat(path)
		return identity(info, err, l == lookNames)
	case lookEntry:
		info, err := os.Lstat(path)
		return identity(info, err, false)
	}
	return "unknown", time.Now()
}

func identity(info fs.FileInfo, err error, names bool) (string, time.Time) {
	if err != nil {
		return "", time.Time{}
	}
	if info.IsDir() && !names {
		return "folder", time.Time{}
	}
	return identityOf(info)
}
