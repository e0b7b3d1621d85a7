package realize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// outDir is the output folder of a build as its programs see it. No other program ever has it.
	outDir = "/nuka/out"
	// maxStray bounds the files that one note names.
	maxStray = 3
)

// noteStray tells which files of an output contain the path of the output folder of the build. The path exists in the build only, so a program that
// looks for its files there does not find them.
func (w *work) noteStray(out string) error {
	if w.pir.Kind != pir.Build {
		return nil
	}
	files, err := strayFiles(out)
	if err != nil || len(files) == 0 {
		return err
	}
	text := strings.Join(files[:min(len(files), maxStray)], ", ")
	if more := len(files) - maxStray; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	w.g.event(protocol.Event{
		Kind: protocol.EventNote, PID: w.id, Name: w.name, What: pir.Build,
		Text: fmt.Sprintf("%s: %s of the output contain %s, which exists in the build only; see docs/packages.md, A program's own files", w.name, text, outDir),
	})
	return nil
}

// strayFiles returns the files of a folder that contain outDir. A wrapper may: whoever runs it puts its own folder there.
func strayFiles(out string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(out, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		found, err := contains(name, []byte(outDir+"/"))
		if found {
			rel, _ := filepath.Rel(out, name)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// contains reports whether a file that is no wrapper contains a text.
func contains(name string, text []byte) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	kept := 0
	for first := true; ; first = false {
		n, err := f.Read(buf[kept:])
		window := buf[:kept+n]
		if first && bytes.HasPrefix(window, []byte("#!nuka-wrap\n")) {
			return false, nil
		}
		if bytes.Contains(window, text) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buf, window[max(0, len(window)-len(text)+1):])
	}
}
