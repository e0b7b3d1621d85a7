package wasmrt_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// TestRelativeSymlinkDoesNotEscape guards against the first regression: a relative link in a writable mount led to the host
// (wazero's own directory mounts follow it). It reads and writes through a link to a file and through one to a directory.
func TestRelativeSymlinkDoesNotEscape(t *testing.T) {
	b := newBox(t, nil)
	up := strings.Repeat("../", 20)
	host := strings.TrimPrefix(b.outside, "/")
	out := b.run(
		"symlink ../secret.txt near",
		"symlink "+up+host+"/secret.txt far",
		"symlink .. updir",
		"symlink "+up+host+" fardir",
		"cat near",
		"cat far",
		"cat updir/secret.txt",
		"cat fardir/secret.txt",
		"write near pwned",
		"write far pwned",
		"write updir/pwned.txt pwned",
		"write fardir/pwned.txt pwned",
		"mkdir fardir/pwned",
		"rename near fardir/pwned",
		"link far fardir/pwned",
		"symlink x fardir/pwned",
		"rm fardir/secret.txt",
		"truncate far 0",
		"symlink "+b.outside+"/secret.txt abs",
		"symlink "+b.outside+" absdir",
		"cat abs",
		"cat absdir/secret.txt",
		"write abs pwned",
		"write absdir/pwned.txt pwned",
	)
	if strings.Contains(out, secret) {
		t.Errorf("a program read the canary:\n%s", out)
	}
	b.unharmed()
}

// TestPlantedSymlinkDoesNotEscape repeats this with links that exist before the program starts, as in a hostile archive.
func TestPlantedSymlinkDoesNotEscape(t *testing.T) {
	b := newBox(t, nil)
	for name, target := range map[string]string{
		"rel": "../secret.txt", "dir": "..", "abs": filepath.Join(b.outside, "secret.txt"), "absdir": b.outside,
	} {
		if err := os.Symlink(target, b.host(name)); err != nil {
			t.Fatal(err)
		}
	}
	out := b.run("cat rel", "cat dir/secret.txt", "cat abs", "cat absdir/secret.txt",
		"write rel pwned", "write dir/pwned.txt x", "write absdir/pwned.txt x", "write abs pwned")
	if strings.Contains(out, secret) {
		t.Errorf("a program read the canary:\n%s", out)
	}
	b.unharmed()
}

func TestHardLinksDoNotEscape(t *testing.T) {
	b := newBox(t, nil)
	if err := os.Symlink("../secret.txt", b.host("planted")); err != nil {
		t.Fatal(err)
	}
	out := b.run("open k . r", "linkat k ../../secret.txt a", "linkat k ../secret.txt b", "linkat k x/../../secret.txt e", "link planted c", "link "+b.outside+"/secret.txt d",
		"cat a", "cat b", "cat c", "cat d", "cat e", "append a pwned", "append b pwned", "append c pwned",
		"at k ../secret.txt", "at k ../../secret.txt", "putat k ../secret.txt pwned", "putat k ../pwned.txt pwned")
	if strings.Contains(out, secret) {
		t.Errorf("a program read the canary:\n%s", out)
	}
	b.unharmed()
}

// TestRacesDoNotEscape renames directories while a program follows paths through them. Another program does the renaming, and
// so does a stronger attacker: a process of the host that replaces a directory by a link to the outside.
func TestRacesDoNotEscape(t *testing.T) {
	n := "4000"
	if testing.Short() {
		n = "300"
	}
	for _, live := range []bool{false, true} {
		b := newBox(t, &wasmrt.DirOptions{Live: live})
		b.run("mkdir d", "mkdir d/sub", "symlink .. l")
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // exchanges d and a link to the outside
			_ = os.Symlink(b.outside, b.host("out"))
			for {
				select {
				case <-done:
					return
				default:
				}
				_ = os.Rename(b.host("d"), b.host("t"))
				_ = os.Rename(b.host("out"), b.host("d"))
				_ = os.Rename(b.host("d"), b.host("out"))
				_ = os.Rename(b.host("t"), b.host("d"))
			}
		})
		var programs sync.WaitGroup
		for _, lines := range [][]string{
			{"hammer " + n + " d/secret.txt d/pwned"},
			{"open k d r", "hammer " + n + " d/../secret.txt d/sub/../../pwned"},
			{"swap " + n + " l d x"},
		} {
			programs.Go(func() {
				if out, _, err := b.try(nil, lines...); err != nil || strings.Contains(out, secret) {
					t.Errorf("%q: got %q, %v", lines, out, err)
				}
			})
		}
		programs.Wait()
		close(done)
		wg.Wait()
		b.unharmed()
	}
}
