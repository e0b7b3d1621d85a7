package fsmount_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
)

// TestStopAtOnce stops a mount before, while and after its holder comes. Run ends, and nothing stays mounted.
func TestStopAtOnce(t *testing.T) {
	needMount(t)
	dir := t.TempDir()
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	for n := range 15 {
		wait := time.Duration(n) * 5 * time.Millisecond
		m, err := fsmount.New(&fsmount.Options{
			Store: store, Path: filepath.Join(dir, "mnt"), Run: dir, Slots: filepath.Join(dir, "slots"), Disk: dir,
			Holder: func(job string) *exec.Cmd { return exec.Command(os.Args[0], fsmount.HolderArg, job) },
			Log:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(wait)
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("stopped after %s: Run does not end", wait)
		}
		if left := mountCount(t, filepath.Join(dir, "mnt")); left > 0 {
			t.Errorf("stopped after %s: it is still mounted", wait)
		}
	}
}
