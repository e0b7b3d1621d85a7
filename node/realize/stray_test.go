package realize

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// A note names the files of an output that contain the path of the output folder.
func TestStrayPathsAreNoted(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ closure, want string }{
		{"bin/a=look in /nuka/out/share; lib/b=/nuka/out/lib; share/c=nothing", "bin/a, lib/b of the output contain /nuka/out"},
		{"a=/nuka/out/1; b=/nuka/out/2; c=/nuka/out/3; d=/nuka/out/4; e=/nuka/out/5", "a, b, c and 2 more of the output contain /nuka/out"},
		{"bin/a=/nuka/outside; bin/b=/nuka/store", ""},
	} {
		f.realize(f.build("x", c.closure, nil))
		var notes []string
		for _, e := range f.events {
			if e.Kind == protocol.EventNote {
				notes = append(notes, e.Text)
			}
		}
		got := strings.Join(notes, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.closure, got, c.want)
		}
	}
}

// A path is found across the borders of the buffer. A wrapper may have it: whoever runs it puts its own folder there.
func TestStrayFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"start": "/nuka/out/x", "border": strings.Repeat("a", 256<<10-4) + "/nuka/out/x", "end": strings.Repeat("a", 1<<20) + "/nuka/out/",
		"wrapper": "#!nuka-wrap\n/nuka/out/x", "none": strings.Repeat("a", 256<<10-4) + "/nuka/ou", "empty": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := strayFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"border", "end", "start"}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
