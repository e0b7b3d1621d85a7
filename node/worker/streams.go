package worker

import (
	"io"
	"os"
	"sync"
	"time"
)

// drain is how long the output of a program that has ended may take to arrive.
const drain = 2 * time.Second

// streams are the standard streams of a program: the ends inside and outside of the sandbox.
type streams struct {
	inside  [3]*os.File
	outside [3]*os.File
	running sync.WaitGroup
}

func openStreams(q *runNative) (*streams, error) {
	s := &streams{}
	for i := range s.inside {
		if i == 0 && !q.Piped || i == 2 && q.Merge {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			s.started()
			s.close()
			return nil, err
		}
		if i == 0 {
			s.inside[i], s.outside[i] = r, w
		} else {
			s.inside[i], s.outside[i] = w, r
		}
	}
	if q.Merge {
		s.inside[2] = s.inside[1]
	}
	return s, nil
}

// started closes the ends inside, which the program has.
func (s *streams) started() {
	for _, f := range s.inside {
		if f != nil {
			f.Close() // the second time of merged streams does nothing
		}
	}
}

// close closes the ends outside.
func (s *streams) close() {
	for _, f := range s.outside {
		if f != nil {
			f.Close()
		}
	}
}

// copy starts to pass the streams on.
func (s *streams) copy(q *runNative, r *room) {
	if in := s.outside[0]; in != nil {
		s.running.Go(func() {
			_, _ = in.Write(q.Input) // a program may end without reading all
			in.Close()
		})
	}
	for i := 1; i <= 2; i++ {
		from := s.outside[i]
		if from == nil {
			continue
		}
		s.running.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := from.Read(buf)
				if r.output.Add(int64(n)) > r.maxOutput {
					r.over("more than %d bytes of output", r.maxOutput)
					n, err = 0, io.EOF
				}
				switch {
				case n > 0 && i == 1:
					r.send(&ranNative{ID: q.ID, Stdout: buf[:n]})
				case n > 0:
					r.send(&ranNative{ID: q.ID, Stderr: buf[:n]})
				}
				if err != nil {
					return
				}
			}
		})
	}
}

// drain waits for the rest of the output of a program that has ended, and closes the streams. Another program of the build may have got hold of a
// stream, so the wait has an end.
func (s *streams) drain() {
	for _, f := range s.outside {
		if f != nil {
			_ = f.SetDeadline(time.Now().Add(drain))
		}
	}
	s.running.Wait()
	s.close()
}
