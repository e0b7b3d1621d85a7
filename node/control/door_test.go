package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// reaches waits until a daemon answers in a folder again.
func reaches(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(10 * doorInterval); ; time.Sleep(doorInterval / 20) {
		c, err := Dial(t.Context(), dir, newKey(t))
		if err == nil {
			defer c.Close()
			var got string
			if err := c.Call(t.Context(), "x", nil, &got, nil); err != nil || got != "here" {
				t.Errorf("got %q, %v", got, err)
			}
			return
		}
		if !errors.Is(err, ErrNoDaemon) || time.Now().After(deadline) {
			t.Fatalf("the daemon is not reached again: %v", err)
		}
	}
}

func here(context.Context, Actor, *Call) (any, error) { return "here", nil }

// TestDoorComesBack removes the folder of a running daemon, then its socket, then puts a dead socket in its place.
func TestDoorComesBack(t *testing.T) {
	top := t.TempDir()
	dir, stop := serveIn(t, filepath.Join(top, "run"), "", handlerFunc(here), 0)
	before := dial(t, dir)
	if err := os.RemoveAll(top); err != nil {
		t.Fatal(err)
	}
	reaches(t, dir)
	if _, err := os.Stat(filepath.Join(dir, addressName)); err != nil {
		t.Error(err)
	}
	if err := before.Call(t.Context(), "x", nil, nil, nil); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil {
		t.Fatal(err)
	}
	reaches(t, dir)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := errors.Join(dead.Close(), os.Rename(filepath.Join(dir, "dead"), filepath.Join(dir, socketName))); err != nil {
		t.Fatal(err)
	}
	reaches(t, dir)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{socketName, addressName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after the end: got %v", name, err)
		}
	}
}

// TestDoorOfNoHome removes the home of a running daemon, and checks that the daemon does not create it again.
func TestDoorOfNoHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	_, stop := serveIn(t, filepath.Join(home, "run"), home, handlerFunc(here), 0)
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	time.Sleep(doorInterval + doorInterval/2) // one check of the socket
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home is there again: %v", err)
	}
}

// TestDoorOfAnother replaces a daemon's socket by another daemon's, and checks that the first daemon leaves it alone, even when it ends.
func TestDoorOfAnother(t *testing.T) {
	dir, stop := serve(t, here, 0)
	path, beside := filepath.Join(dir, socketName), filepath.Join(dir, "other")
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: beside, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	other.SetUnlinkOnClose(false)
	defer other.Close()
	called := make(chan struct{}, 10)
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			c.Close()
			called <- struct{}{}
		}
	}()
	want, err := os.Lstat(beside)
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		if got, err := os.Lstat(path); err != nil || !os.SameFile(got, want) {
			t.Errorf("%s: the socket of the other is gone (%v)", when, err)
		}
	}
	for range 2 { // a change may follow the first check; the second check comes after the change
		select {
		case <-called:
		case <-time.After(10 * doorInterval):
			t.Fatal("nobody asks whether the other is there")
		}
	}
	look("while both run")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	look("after the end of the first")
}
