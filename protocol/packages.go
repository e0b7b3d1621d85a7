package protocol

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// The bounds of the packages that follow a RealizeArgs.
const (
	MaxPackages     = 200_000  // packages of one call
	MaxPackageLine  = 64 << 20 // bytes of the line of one package
	MaxPackageBytes = 1 << 30  // bytes of all lines
)

// Send returns a reader of the lines that follow a call with these packages: the JSON of each package and a line feed.
// It encodes a package when the one before has been read.
func Send(packages []Package) io.Reader { return &packageReader{list: packages} }

type packageReader struct {
	list []Package
	line bytes.Buffer
}

func (r *packageReader) Read(p []byte) (int, error) {
	if r.line.Len() == 0 {
		if len(r.list) == 0 {
			return 0, io.EOF
		}
		r.line.Reset()
		if err := json.NewEncoder(&r.line).Encode(r.list[0]); err != nil {
			return 0, err
		}
		r.list = r.list[1:]
	}
	return r.line.Read(p)
}

// Receive adds to a.Packages the packages that follow the call on data. If a line is malformed, is missing or exceeds a bound, the error
// is an *Error that names the line.
func (a *RealizeArgs) Receive(data io.Reader) error {
	if a.Follow < 0 || a.Follow > MaxPackages {
		return Errorf(Invalid, "%d packages follow the call, want 0 to %d", a.Follow, MaxPackages)
	}
	lines := bufio.NewScanner(io.LimitReader(data, MaxPackageBytes))
	lines.Buffer(nil, MaxPackageLine)
	lines.Split(wholeLines)
	for n := range a.Follow {
		if !lines.Scan() {
			err := lines.Err()
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			if errors.Is(err, bufio.ErrTooLong) {
				return Errorf(Exhausted, "package %d of %d of the call has more than %d bytes", n+1, a.Follow, MaxPackageLine)
			}
			return Errorf(Invalid, "package %d of %d of the call: %w", n+1, a.Follow, err)
		}
		var p Package
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return Errorf(Invalid, "package %d of %d of the call: %w", n+1, a.Follow, err)
		}
		a.Packages = append(a.Packages, p)
	}
	return nil
}

// wholeLines is a bufio.SplitFunc like bufio.ScanLines; unlike it, wholeLines takes a line without a line feed for no line.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if bytes.IndexByte(data, '\n') < 0 {
		return 0, nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}
