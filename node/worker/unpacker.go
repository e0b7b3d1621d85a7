package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/wasmrt"
)

// The limits of unpacking one archive, beside those on its tree.
const (
	maxUnpackMemory = 4 << 30
	maxUnpackTime   = 6 * time.Hour
	// unpackStall is the longest time without progress.
	unpackStall = 3 * time.Minute
)

// An unpackJob asks a worker to unpack an archive into an existing folder.
type unpackJob struct {
	Archive string         `json:"archive"`
	Out     string         `json:"out"`
	Deb     bool           `json:"deb"`
	Control bool           `json:"control,omitempty"`
	Commit  string         `json:"commit,omitempty"`
	Strip   int            `json:"strip"`
	Limits  archive.Limits `json:"limits"`
}

// An Unpacker unpacks archives of strangers, each in a process of its own that reaches the archive, the folder and nothing else.
// A fault or an endless loop in a decompressor makes one fetch fail.
// The archive must lie in a folder that only the fetch writes to, so that its name leads to the file that was hashed.
type Unpacker struct {
	Log   *slog.Logger
	Users wasmrt.Users

	program string        // "" is this one; tests have others
	args    []string      // nil is Arg
	stall   time.Duration // 0 is unpackStall
}

// Unpack unpacks the archive at path into the folder out. It is the Unpack of source.Options.
func (u *Unpacker) Unpack(ctx context.Context, path, out string, o *archive.Options) (*archive.Result, error) {
	message := workerJob{Unpack: &unpackJob{path, out, o.Deb, o.Control, o.Commit, o.Strip, o.Limits}}
	args, stall := u.args, u.stall
	if args == nil {
		args = []string{Arg}
	}
	if stall == 0 {
		stall = unpackStall
	}
	worker, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Path: u.program, Args: args,
		Limits:   wasmrt.WorkerLimits{Memory: maxUnpackMemory, Wall: maxUnpackTime},
		ReadOnly: []string{path}, ReadWrite: []string{out},
		User:    u.Users.Next(),
		Partial: true, // nuka doctor names the walls that are missing; without a worker there would be none
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The checks of package source/archive are the first defence, the walls around a worker the second.
		u.Log.Warn("unpack without a worker", "error", err)
		return archive.UnpackFile(ctx, path, out, o)
	}
	defer worker.Close()
	watch := time.AfterFunc(stall, func() {
		worker.Kill(&wasmrt.LimitError{What: fmt.Sprintf("no progress in the archive for %v", stall)})
	})
	defer watch.Stop()
	err = worker.SendValue(message)
	for err == nil {
		var reply workerReply
		if err = worker.RecvValue(&reply); err != nil {
			break
		}
		if watch.Reset(stall); !reply.Done {
			continue
		}
		if reply.Error != nil {
			return nil, reply.Error
		}
		if reply.Unpacked == nil {
			reply.Unpacked = &archive.Result{}
		}
		return reply.Unpacked, nil
	}
	if !errors.Is(err, io.EOF) {
		worker.Kill(err)
	}
	waitErr := worker.Close() // see ended
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var limit *wasmrt.LimitError
	if errors.As(waitErr, &limit) {
		return nil, protocol.Errorf(protocol.Exhausted, "unpack: ended: %s", limit.What)
	}
	return nil, protocol.Errorf(protocol.Failed, "unpack: the worker process ended: %w", errors.Join(waitErr, err)).
		WithHint("this is a fault of nuka's, or of the archive: please report it")
}

// runUnpack is the worker's side. It tells its parent of progress from time to time.
func runUnpack(conn *wasmrt.Conn, job *unpackJob) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		unpacked *archive.Result
		err      error
	}
	var steps atomic.Int64
	done := make(chan result, 1)
	go func() {
		u, err := archive.UnpackFile(ctx, job.Archive, job.Out, &archive.Options{
			Deb: job.Deb, Control: job.Control, Commit: job.Commit, Strip: job.Strip, Limits: job.Limits, Progress: func() { steps.Add(1) },
		})
		done <- result{u, err}
	}()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case r := <-done:
			reply := workerReply{Done: true, Unpacked: r.unpacked}
			if r.err != nil {
				reply.Error = protocol.AsError(r.err)
			}
			return conn.SendValue(reply)
		case <-tick.C:
			if now := steps.Load(); now != before {
				before = now
				if err := conn.SendValue(workerReply{}); err != nil {
					return err
				}
			}
		}
	}
}
