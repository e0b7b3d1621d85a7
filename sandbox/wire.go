package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/MordragT/nuka/internal/frame"
)

// ControlFD is the number of the launcher's end of the socket to its caller. First comes the Spec as one frame, then one byte for
// each signal to pass on, or AskStopped. The launcher answers with Reports, one frame each.
const ControlFD = 3

// AskStopped is the byte by which the caller asks whether the program is still stopped: the report that it was may be an old one, when
// a terminal stopped and continued caller and program together.
const AskStopped = 0xff

// The modes of the launcher: its only argument.
const (
	ModeSpaces   = "spaces"   // in name spaces of its own
	ModeFallback = "fallback" // in the tree of the host
	ModeBecome   = "become"   // inside, as the user's program: it notes its number in LISTEN_PID and becomes the program
)

// FirstExtraFD is the number of the first descriptor in the launcher after the socket.
const FirstExtraFD = ControlFD + 1

// maxReport bounds the encoding of a Report.
const maxReport = 64 << 10

// A Report is what the launcher tells its caller. Exactly one field is set.
type Report struct {
	Failed  *SetupError `json:"failed,omitempty"`  // the set-up failed; the launcher ends
	Started *Started    `json:"started,omitempty"` // the program runs
	Stopped int         `json:"stopped,omitempty"` // the program was stopped by this signal
	Still   *bool       `json:"still,omitempty"`   // the answer to AskStopped
	Ended   *Ended      `json:"ended,omitempty"`   // the program ended; the launcher ends
}

// Started tells how the sandbox was set up.
type Started struct {
	Held    Held     `json:"held,omitzero"`
	Missing []string `json:"missing,omitempty"` // walls that this kernel does not have
}

// Ended tells how the program ended. Signal is 0 if it exited by itself.
type Ended struct {
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"`
}

// Held names what holds each of the limits, as "cgroup v2" or "rlimit of each process". It is empty for a limit that was not asked for,
// and begins with "nothing" for one that this system cannot hold.
type Held struct {
	Memory    string `json:"memory,omitempty"`
	Processes string `json:"processes,omitempty"`
	CPUs      string `json:"cpus,omitempty"`
}

// WriteSpec sends the encoding of a Spec.
func WriteSpec(w io.Writer, encoded []byte) error {
	return frame.Write(w, maxSpec, nil, nil, encoded...)
}

// ReadSpec reads and checks a Spec.
func ReadSpec(r io.Reader) (*Spec, error) {
	b, err := frame.Read(r, maxSpec, maxReport)
	if err != nil {
		return nil, err
	}
	return DecodeSpec(b)
}

// WriteReport sends a report.
func WriteReport(w io.Writer, r *Report) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return frame.Write(w, maxReport, nil, b)
}

// ReadReport reads a report. The error is io.EOF after the last one.
func ReadReport(r io.Reader) (*Report, error) {
	b, err := frame.Read(r, maxReport, maxReport)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	if err := decode(b, report, "a report"); err != nil {
		return nil, err
	}
	n := 0
	for _, set := range []bool{report.Failed != nil, report.Started != nil, report.Stopped != 0, report.Still != nil, report.Ended != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return nil, fmt.Errorf("sandbox: a report says %d things", n)
	}
	return report, nil
}

// decode decodes JSON into a value. It refuses unknown fields, and anything after the JSON.
func decode(b []byte, into any, what string) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("sandbox: decode %s: %w", what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("sandbox: decode %s: something follows it", what)
	}
	return nil
}
