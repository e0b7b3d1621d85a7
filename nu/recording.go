package nu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// fetchRecording makes the environment of a recording beside the package file: the recording itself, and each file that it names. With Request.Record the
// result stands for a recording that is yet to be made, and no file is read.
func (s *session) fetchRecording(ctx context.Context, name string, args nuon.Record, file string) (described, error) {
	wrong := func(help, format string, args ...any) error {
		return &refusal{Msg: "fetch recording " + name + ": " + fmt.Sprintf(format, args...), Field: "path", Help: help}
	}
	if at := path.Join(path.Dir(file), name); s.req.Record != nil && s.req.Record(at) {
		return s.openRecording(name, args, file, at)
	}
	reply, err := s.fetchPath(ctx, name, file, PathOptions{})
	if err != nil {
		var r *refusal
		if errors.As(err, &r) && r.Absent {
			return nil, wrong("record what the package manager asks: nuka lock "+s.files.shown(file), "there is no recording yet")
		}
		return nil, err
	}
	self, err := pir.ParsePID(reply["pid"])
	if err != nil {
		return nil, err
	}
	text, err := s.readBeside(name, file)
	if err != nil {
		return nil, wrong("", "%v", err)
	}
	recording, err := ecosystem.Decode(text)
	if err != nil {
		return nil, wrong("", "%v", err)
	}
	env := &pir.PIR{Kind: pir.Env, Name: ecosystem.Name, Layout: pir.LayoutFiles1, Packages: map[string]pir.PID{ecosystem.RecordingFile: self}}
	for _, kept := range recording.Files() {
		pid, err := s.add(&pir.PIR{Kind: pir.Fetch, Hash: kept.Hash, Unpack: pir.UnpackFile}, kept.Origin)
		if err != nil {
			return nil, wrong("record it again: nuka lock", "%s: %v", kept.Hash, err)
		}
		env.Packages[kept.Hash.String()] = pid
	}
	pid, err := s.add(env, nil)
	if err != nil {
		return nil, asRefusal(err)
	}
	return describedRecording(pid, recording)
}

// describedRecording returns what package files see of a recording: the packages of the distribution are texts.
func describedRecording(pid pir.PID, r *ecosystem.Recording) (described, error) {
	system, build, err := r.SystemText()
	return described{"pid": pid.String(), "name": ecosystem.Name, "system": system, "build_system": build}, err
}

// openRecording returns the stand-in for a recording that is yet to be made. Its field open tells package files.
func (s *session) openRecording(name string, args nuon.Record, file, at string) (described, error) {
	whose, _ := args["ecosystem"].(string)
	door, _ := args["door"].(string)
	if whose == "" {
		return nil, &refusal{Msg: "fetch recording " + name + ": nothing tells whose requests to record", Field: "path", Help: "add --ecosystem pip, npm, cargo, go or maven"}
	}
	pid, err := s.add(ecosystem.Open(at, whose, ecosystem.Door(door)), nil)
	if err != nil {
		return nil, err
	}
	in := PathInput{PID: pid, Virtual: at}
	if m, rel, ok := s.files.mount(file); ok && m.Host != "" {
		in.Host = path.Join(m.Host, path.Dir(rel), name)
	}
	s.opened = append(s.opened, in)
	pinned := s.req.Pinned
	if pinned == nil {
		pinned = &ecosystem.Recording{}
	}
	d, err := describedRecording(pid, pinned)
	if err == nil {
		d["open"] = "true"
	}
	return d, err
}

// readBeside reads a file beside a package file, which fetchPath has found.
func (s *session) readBeside(name, file string) ([]byte, error) {
	m, _, ok := s.files.mount(file)
	if !ok {
		return nil, fmt.Errorf("%s is not a package file", file)
	}
	rel, err := resolve(m, path.Join(path.Dir(file), name)[len(m.Path)+1:])
	if err != nil {
		return nil, err
	}
	f, err := m.FS.Open(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no file"))
	}
	text, err := io.ReadAll(io.LimitReader(f, ecosystem.MaxRecording+1))
	if err == nil && len(text) > ecosystem.MaxRecording {
		err = fmt.Errorf("it has more than %d bytes", ecosystem.MaxRecording)
	}
	return text, err
}

// recorded reads the recording of a native build.
func (s *session) recorded(p *pir.PIR, spec nuon.Record) error {
	v, there := spec["recording"]
	if !there {
		return nil
	}
	const help = "fetch it: recording: (fetch recording ./" + ecosystem.RecordingFile + ")"
	if p.Kind != pir.Native {
		return wrong("recording", "add the runtime of the package manager: runtime: (python), after `use lang/python.nu`", "goes only with `runtime` and `build`")
	}
	rec, _ := v.(nuon.Record)
	text, _ := rec["pid"].(string)
	id, err := pir.ParsePID(text)
	if err != nil {
		return wrong("recording", help, "is no recording")
	}
	i, known := s.index[id]
	if !known {
		return wrong("recording", help, "%s was not described in this evaluation", id.Short())
	}
	got, err := pir.Decode(s.packages[i].Canonical)
	if err != nil {
		return err
	}
	if _, _, open := ecosystem.Opened(got); got.Layout != pir.LayoutFiles1 && !open {
		return wrong("recording", help, "%s is no recording", got.Name)
	}
	p.Recording = id
	return s.pinned(got, rec, spec["pins"])
}

// pinned compares the names of Debian packages that the lock file does not have with the pins of a recording. Those of an open recording are yet to be made.
func (s *session) pinned(got *pir.PIR, recording nuon.Record, field any) error {
	if field == nil {
		return nil
	}
	list, ok := field.(nuon.List)
	if !ok {
		return wrong("pins", "write names of Debian packages: pins: [libcairo2-dev]", "is a %s", typeName(field))
	}
	have := map[string]bool{}
	for _, name := range []string{"system", "build_system"} {
		text, _ := recording[name].(string)
		v, err := nuon.Decode([]byte(text))
		if err != nil {
			return wrong("recording", "", "its packages: %v", err)
		}
		pins, _ := v.(nuon.List)
		for _, p := range pins {
			one, _ := p.(nuon.Record)
			name, _ := one["name"].(string)
			have[name] = true
		}
	}
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return wrong("pins", "write names of Debian packages: pins: [libcairo2-dev]", "a name is a %s", typeName(v))
		}
		if have[name] {
			continue
		}
		if _, _, open := ecosystem.Opened(got); !open {
			return wrong("recording", "pin it: nuka lock --update", "has no pin of the Debian package %.100s, which the lock file of the set does not have", name)
		}
		if !slices.Contains(s.unpinned, name) {
			s.unpinned = append(s.unpinned, name)
		}
	}
	return nil
}
