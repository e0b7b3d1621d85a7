package worker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/wasmrt"
)

// Run is a worker process: it does the one job that its parent sends, a build or an archive to unpack.
// It returns an error only if it cannot send it to its parent.
func Run() error {
	conn, job, err := enter()
	if err != nil || job.Unpack != nil {
		return err
	}
	reply := workerReply{Done: true}
	if err := runJob(context.Background(), conn, job); err != nil {
		reply.Error = workerError(err)
	}
	return conn.SendValue(reply)
}

// enter confines this process and receives its job. If the job is to unpack an archive, enter does it.
func enter() (*wasmrt.Conn, *workerJob, error) {
	conn, err := wasmrt.Enter()
	if err != nil {
		return nil, nil, err
	}
	var job workerJob
	if err := conn.RecvValue(&job); err != nil {
		return nil, nil, err
	}
	if job.Unpack != nil {
		err = runUnpack(conn, job.Unpack)
	}
	return conn, &job, err
}

// An output sends each write to the parent.
type output struct{ conn *wasmrt.Conn }

func (o output) Write(b []byte) (int, error) {
	return len(b), o.conn.SendValue(workerReply{Output: b})
}

func workerError(err error) *protocol.Error {
	if e, ok := err.(*protocol.Error); ok { //nolint:errorlint // a wrapped one has the place in the script around it
		return e
	}
	var limit *wasmrt.LimitError
	code := protocol.Failed
	if errors.As(err, &limit) {
		code = protocol.Exhausted
	}
	return protocol.Errorf(code, "%w", err)
}

func runJob(ctx context.Context, conn *wasmrt.Conn, job *workerJob) error {
	out, node := output{conn}, newParent(conn)
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: job.MachineCode, Scratch: filepath.Join(job.Dir, scratchName), Ask: node.ask})
	if err != nil {
		return err
	}
	// The process ends with the build: closing the runtime would only cost time.
	var mounts []wasmrt.Mount
	for _, t := range job.Trees {
		tree, err := wasmrt.ReadTree(t.Root, node)
		if err != nil {
			return err
		}
		source := t.Path == nu.SrcDir || strings.HasPrefix(t.Path, nu.SrcDir+"/")
		mounts = append(mounts, wasmrt.Mount{Path: t.Path, Tree: tree, Source: source})
	}
	folders := map[string]string{
		nu.BuildDir: filepath.Join(job.Dir, "build"), nu.OutDir: filepath.Join(job.Dir, "out"), "/tmp": filepath.Join(job.Dir, "tmp"),
	}
	var scratch []*wasmrt.Dir
	for guest, host := range folders {
		dir, err := wasmrt.OpenDir(host, &wasmrt.DirOptions{
			Shared: job.Native, MaxFiles: maxScratchFiles, MaxBytes: maxScratchBytes, MaxFileSize: maxScratchFile,
		})
		if err != nil {
			return err
		}
		scratch = append(scratch, dir)
		mounts = append(mounts, wasmrt.Mount{Path: guest, Dir: dir})
	}
	guest, err := wasmrt.NewFS(mounts...)
	if err != nil {
		return err
	}
	spec := &nu.BuildSpec{
		PIR: []byte(job.PIR), Kinds: source.Table(), FS: guest, Jobs: job.Jobs, Slot: node.slot, Stdout: out, Stderr: out,
		Unpack: unpackInside(guest, folders),
		Host: &wasmrt.Host{
			Runtime: rt, FS: guest, Path: job.Path,
			Limits: wasmrt.Limits{Running: job.Jobs, Output: maxBuildOutput, Memory: maxProgramMemory, TotalMemory: maxProgramsMemory},
		},
	}
	if job.Native {
		spec.Native = node.run
	}
	if job.Results != "" {
		spec.Host.Memo = &memo{dir: job.Results, conn: conn}
	}
	err = nu.RunBuild(ctx, rt, spec)
	if hits, runs := spec.Host.Remembered(); hits > 0 {
		fmt.Fprintf(out, "nuka: %d of %d results of programs were kept from earlier builds\n", hits, hits+runs)
	}
	for _, m := range mounts {
		if m.Tree != nil && m.Tree.Failed() != nil {
			return protocol.AsError(m.Tree.Failed()) // as below
		}
	}
	for _, dir := range scratch {
		if limit := dir.Exceeded(); limit != nil {
			return limit // an error of the build follows from it
		}
	}
	return err
}
