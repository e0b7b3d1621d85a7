package wasmrt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The first regression: a relative link out of a writable mount reached the host (wazero's own directory mounts
// follow it). Read and write, through a link to a file and to a directory.
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
	)
	if strings.Contains(out, secret) {
		t.Errorf("a program read the canary:\n%s", out)
	}
	b.unharmed()
}

// The same with links that were there before, as a hostile archive would plant them.
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
