package realize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/MordragT/nuka/protocol"
)

// A buildLog writes a build's output to a file, and sends it to the requester line by line.
type buildLog struct {
	mu   sync.Mutex
	w    *work
	file *os.File
	line []byte
}

const maxLine = 16 << 10

func (w *work) openLog() (*buildLog, error) {
	file, err := os.Create(w.g.r.LogPath(w.id))
	return &buildLog{w: w, file: file}, err
}

func (l *buildLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, b...)
	for {
		end := bytes.IndexByte(l.line, '\n')
		if end < 0 && len(l.line) < maxLine {
			break
		}
		if end < 0 {
			end = len(l.line) - 1
		}
		l.tell(string(bytes.TrimRight(l.line[:end+1], "\n")))
		l.line = l.line[end+1:]
	}
	return l.file.Write(b)
}

func (l *buildLog) tell(line string) {
	l.w.g.event(protocol.Event{Kind: protocol.EventLog, PID: l.w.id, Name: l.w.name, What: l.w.pir.Kind, Text: line})
}

// close ends the log, with the build's error.
func (l *buildLog) close(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.tell(string(l.line))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(l.file, "error: %v\n", err)
	}
	l.file.Close()
}
