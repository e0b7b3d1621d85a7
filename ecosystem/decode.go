package ecosystem

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Decode reads the text of a recording. It accepts only what Encode writes: one text for each recording.
// An error wraps ErrRecording, and names the answer that was changed by its number and request.
func Decode(text []byte) (*Recording, error) {
	if len(text) > MaxRecording {
		return nil, fmt.Errorf("the recording has %d bytes, more than %d; %w", len(text), MaxRecording, ErrRecording)
	}
	lines := splitLines(text)
	if len(lines) < 3 || string(lines[0]) != firstLine || len(lines[len(lines)-1]) != 0 {
		return nil, fmt.Errorf("the recording does not begin with %s and end with a line feed; %w", firstLine, ErrRecording)
	}
	last, lines := lines[len(lines)-2], lines[1:len(lines)-2]
	head, ok := bytes.CutPrefix(last, []byte("],"))
	if !ok {
		return nil, fmt.Errorf("the last line of the recording is %.100q; %w", last, ErrRecording)
	}
	rec, err := nuon.DecodeRecord(append([]byte("{"), head...))
	if err != nil {
		return nil, fmt.Errorf("the last line of the recording: %w; %w", err, ErrRecording)
	}
	r := &Recording{}
	f := fields{rec: rec}
	format := f.number("recording")
	r.Ecosystem, r.Door = f.text("ecosystem"), Door(f.text("door"))
	if upstreams, ok := take[nuon.Record](&f, "upstreams"); ok {
		r.Upstreams = map[string]string{}
		u := fields{rec: upstreams}
		for alias := range upstreams {
			r.Upstreams[alias] = u.text(alias)
		}
		f.err = cmp.Or(f.err, u.err)
	}
	r.Setup, r.System, r.BuildSystem = f.setup(), f.system(fieldSystem), f.system(fieldBuildSystem)
	if err := f.end(); err != nil {
		return nil, fmt.Errorf("the recording: %w; %w", err, ErrRecording)
	}
	if format != version {
		return nil, fmt.Errorf("the recording has format %d, and this nuka reads format %d; %w", format, version, ErrRecording)
	}
	for i, line := range lines {
		a, err := decodeAnswer(line, i == len(lines)-1)
		if err != nil {
			return nil, wrong(i, requestIn(line), err)
		}
		r.Answers = append(r.Answers, *a)
	}
	again, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, again) {
		return nil, r.differs(lines)
	}
	return r, nil
}

// differs names the answer that is not written as Encode writes it.
func (r *Recording) differs(lines [][]byte) error {
	for i := range r.Answers {
		line, err := nuon.Encode(r.Answers[i].record())
		if err != nil || !bytes.Equal(bytes.TrimSuffix(lines[i], []byte(",")), line) {
			return wrong(i, r.Answers[i].Request.String(), errors.New("it is not spelled as nuka spells it"))
		}
	}
	return fmt.Errorf("the last line of the recording is not spelled as nuka spells it; %w", ErrRecording)
}

// splitLines splits at the line feeds that are in no string.
func splitLines(text []byte) [][]byte {
	var lines [][]byte
	start, inside := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inside = !inside
		case c == '\\' && inside:
			i++
		case c == '\n' && !inside:
			lines = append(lines, text[start:i])
			start = i + 1
		}
	}
	return append(lines, text[start:])
}

var requestField = lazyregexp.New(`"request":"([^"\\\n]{1,200})`)

// requestIn finds the request of an answer that cannot be decoded, for an error.
func requestIn(line []byte) string {
	if m := requestField().FindSubmatch(line); m != nil {
		return string(m[1])
	}
	return "its request cannot be read"
}

func decodeAnswer(line []byte, last bool) (*Answer, error) {
	if !last {
		var ok bool
		if line, ok = bytes.CutSuffix(line, []byte(",")); !ok {
			return nil, errors.New("there is no comma at the end of its line")
		}
	}
	rec, err := nuon.DecodeRecord(line)
	if err != nil {
		return nil, err
	}
	f := fields{rec: rec}
	request := f.text("request")
	a := &Answer{Status: int(f.number("status")), Type: f.text("type"), Location: f.text("location"), Text: f.text("text")}
	if file, ok := take[nuon.Record](&f, "file"); ok {
		k := fields{rec: file}
		hash := k.text("hash")
		size, _ := take[nuon.Filesize](&k, "size")
		a.Kept = &Kept{
			Size: int64(size), Package: k.text("package"), Version: k.text("version"), License: k.text("license"), Released: k.text("released"),
			Promised: k.text("promised"), Weak: k.text("weak"), Checked: k.text("checked"), Notice: k.text("notice"),
		}
		a.Kept.Origin, _ = take[nuon.Record](&k, "origin")
		if err := k.end(); err != nil {
			return nil, fmt.Errorf("file: %w", err)
		}
		if a.Kept.Hash, err = pir.ParseHash(hash); err != nil {
			return nil, err
		}
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	if a.Request, err = ParseRequest(request); err != nil {
		return nil, err
	}
	return a, nil
}

// fields takes the fields of a record. The first wrong type sticks.
type fields struct {
	rec   nuon.Record
	taken []string
	err   error
}

func take[T any](f *fields, name string) (value T, ok bool) {
	f.taken = append(f.taken, name)
	v, there := f.rec[name]
	if !there {
		return value, false
	}
	if value, ok = v.(T); !ok && f.err == nil {
		f.err = fmt.Errorf("field %q has another type than it should", name)
	}
	return value, ok
}

func (f *fields) text(name string) string {
	s, _ := take[string](f, name)
	return s
}

func (f *fields) number(name string) int64 {
	n, _ := take[int64](f, name)
	return n
}

// end returns an error if a field had a wrong type, or was not asked for.
func (f *fields) end() error {
	if f.err != nil {
		return f.err
	}
	known := map[string]bool{}
	for _, name := range f.taken {
		known[name] = true
	}
	for name := range f.rec {
		if !known[name] {
			return fmt.Errorf("field %.100q is not known; there are %s", name, strings.Join(f.taken, ", "))
		}
	}
	return nil
}
