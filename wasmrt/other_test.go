//go:build !linux

package wasmrt_test

import "errors"

func syscallKill(int) error { return errors.New("not here") }

func blockThread() error { return nil }

func hostileCalls(bool) string { return "" }

func rawCall(uintptr) string { return "" }

func openSockets() string { return "" }

func mkfifo(string) error { return errors.New("not here") }
