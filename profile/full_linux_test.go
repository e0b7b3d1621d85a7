package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/protocol"
)

// TestFullDisk changes a profile on a disk with room for one generation and not for two, and on a disk that is read-only.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=1m,nr_inodes=20"); err != nil {
		t.Skip("mounting a small disk needs root:", err)
	}
	defer unix.Unmount(disk, unix.MNT_DETACH) //nolint:errcheck // the folder is removed after it
	d := open(t, disk)
	add(t, d)
	l, err := d.Lock(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = l.Add(sample(2), "/mnt", start)
	if e := protocol.AsError(err); e == nil || e.Code != protocol.Exhausted || !strings.Contains(e.Message, "profile default") || e.Hint == "" {
		t.Errorf("got %+v, want exhausted, with the profile and a hint", e)
	}
	l.Close()
	if n, err := d.Number(); n != 1 || err != nil || leftovers(t, d) != 0 {
		t.Errorf("generation %d is in use, %v, with %d leftovers", n, err, leftovers(t, d))
	}
	check(t, d)

	if err := unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m,nr_inodes=20"); err != nil {
		t.Fatal(err)
	}
	if g, err := d.Current(); err != nil || g.Number != 1 {
		t.Errorf("got %v, %v; want generation 1", g, err)
	}
	_, err = d.Lock(t.Context(), nil)
	if e := protocol.AsError(err); e == nil || e.Code != protocol.Denied || e.Hint == "" {
		t.Errorf("got %+v, want denied with a hint", e)
	}
}

// TestRecordIsPipe reads a generation whose record is a pipe without a writer, which blocks whoever opens it.
func TestRecordIsPipe(t *testing.T) {
	d := open(t, t.TempDir())
	add(t, d)
	at := filepath.Join(d.Folder(1), record)
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(at, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Current(); protocol.CodeOf(err) != protocol.Damaged {
		t.Errorf("got %v, want damaged", err)
	}
}
