//go:build !unix

package wasmrt

import "os/exec"

func setGroup(*exec.Cmd) {}

func killWorker(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func limitSelf(*WorkerLimits) error { return nil }
