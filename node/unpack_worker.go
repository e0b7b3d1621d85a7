package node

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
	// unpackStall is how long no entry and no byte may come out of an archive.
	unpackStall = 3 * time.Minute
)

// An unpackJob asks a worker to unpack an archive into an existing folder.
type unpackJob struct {
	Archive string         `json:"archive"`
	Out     string         `json:"out"`
	Deb     bool           `json:"deb"`
	Commit  string         `json:"commit,omitempty"`
	Strip   int            `json:"strip"`
	Limits  archive.Limits `json:"limits"`
}

// An unpackWorker unpacks what strangers packed in a process of its own, which reaches the archive and the folder, and no more:
// a fault in a decompressor, or a loop, is one fetch that fails.
// The archive lies in a folder of the fetch's own, so its name leads to the file that was hashed.
type unpackWorker struct {
	program string        // "" is this one; tests have others
	args    []string      // nil is WorkerArg
	stall   time.Duration // 0 is unpackStall
	log     *slog.Logger
}

// unpack is the Unpack of source.Options.
func (u *unpackWorker) unpack(ctx context.Context, path, out string, o *archive.Options) (*archive.Result, error) {
	message := workerJob{Unpack: &unpackJob{path, out, o.Deb, o.Commit, o.Strip, o.Limits}}
	args, stall := u.args, u.stall
	if args == nil {
		args = []string{WorkerArg}
	}
	if stall == 0 {
		stall = unpackStall
	}
	worker, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Path: u.program, Args: args,
		Limits:   wasmrt.WorkerLimits{Memory: maxUnpackMemory, Wall: maxUnpackTime},
		ReadOnly: []string{path}, ReadWrite: []string{out},
		Partial: true, // which walls are missing is said by nuka doctor; without a worker there would be none
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The walls around a worker are the second ones here: the first are the checks of package source.
		u.log.Warn("unpack without a worker", "error", err)
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
	return nil, protocol.Errorf(protocol.Failed, "unpack: the worker process ended: %v", errors.Join(waitErr, err)).
		WithHint("this is a fault of nuka's, or of the archive: please report it")
}

// runUnpack is the worker's side. It lets its parent know, now and then, that it gets on.
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
			Deb: job.Deb, Commit: job.Commit, Strip: job.Strip, Limits: job.Limits, Progress: func() { steps.Add(1) },
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
