package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// stop ends the daemon of a home, if one runs.
func stop(t *testing.T, home string) {
	c := exec.Command(filepath.Join(programs, "nuka"), "daemon", "stop")
	c.Env = append(os.Environ(), "NUKA_HOME="+home)
	if out, err := c.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("no daemon")) {
		t.Errorf("stop the daemon: %v\n%s", err, out)
	}
}

// removeHome removes a home. A process that a scene has ended may still be about to write there.
func removeHome(t *testing.T, home string) {
	err := os.RemoveAll(home)
	for range 200 {
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
		err = os.RemoveAll(home)
	}
	t.Error(err)
}
