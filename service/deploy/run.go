package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service/supervise"
)

// Stopped is the state of a service whose launcher was told to stop.
const Stopped supervise.State = "stopped"

// Running is what the launcher of a service tells.
type Running struct {
	Generation int             `json:"generation"` // whose description of the service it follows; 0: of a set that was not applied
	Launcher   int             `json:"launcher"`   // its process
	Began      time.Time       `json:"began"`      // when the launcher started
	State      supervise.State `json:"state"`
	Text       string          `json:"text,omitempty"` // more about the state
	Since      time.Time       `json:"since"`          // the state
	Tried      time.Time       `json:"tried,omitzero"` // when it started the program first
	// Program is the process of the program, which leads a group, and 0 if none runs. Started tells it from others of that number; "" if the system does not tell.
	Program int    `json:"program,omitempty"`
	Started string `json:"started,omitempty"`
	// Restarts counts the restarts since the launcher started. Exit says how the program ended last.
	Restarts int    `json:"restarts,omitempty"`
	Exit     string `json:"exit,omitempty"`

	// Alive says that the launcher lives.
	Alive bool `json:"-"`
}

// A Place is a service's right to run: at most one launcher of a service has it.
type Place struct {
	f    *os.File
	path string
	// Before is what the launcher before told at last; the zero value without one.
	Before Running
}

// Place takes the right to run a service. If another launcher has it, Place calls waits, unless that is nil, and waits for most. Then the error has the code Busy.
func (d *Dir) Place(ctx context.Context, name string, most time.Duration, waits func()) (*Place, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	path := d.at("run", name)
	f, err := ownfile.Lock(ctx, path+".lock", most, waits)
	if errors.Is(err, ownfile.ErrBusy) {
		r, _ := d.Running(name)
		return nil, protocol.Errorf(protocol.Busy, "the service %s runs already: process %d keeps it running", name, r.Launcher).WithHint("see: nuka services status")
	}
	if err != nil {
		return nil, err
	}
	p := &Place{f: f, path: path}
	if p.Before, err = readRunning(path); err != nil {
		p.Before = Running{} // a power cut damages such files
	}
	return p, nil
}

// Tell writes what the launcher does.
func (p *Place) Tell(r Running) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Replace(p.path, append(text, '\n'))
}

// Close gives the right to run back.
func (p *Place) Close() error { return p.f.Close() }

// Running returns what the launcher of a service told at last. It is the zero value if there was never one.
func (d *Dir) Running(name string) (Running, error) {
	path := d.at("run", name)
	r, err := readRunning(path)
	if err != nil {
		return Running{}, err
	}
	r.Alive, err = ownfile.Locked(path + ".lock")
	return r, err
}

func readRunning(path string) (r Running, err error) {
	text, err := readSmall(path, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return Running{}, nil
	}
	if err != nil {
		return Running{}, err
	}
	if json.Unmarshal(text, &r) != nil {
		return Running{}, nil // the launcher tells again
	}
	return r, nil
}
