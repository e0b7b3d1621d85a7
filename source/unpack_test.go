package source

import (
	"strings"
	"testing"

	"github.com/MordragT/nuka/source/archive"
)

// TestNotice checks the messages about a tree: entries that were left out, and names that prevent a checkout.
func TestNotice(t *testing.T) {
	var told []string
	(&Request{Notice: func(text string) { told = append(told, text) }}).notice(&archive.Result{
		LeftOut: []string{`"p/f" (a named pipe)`}, Omitted: 1, Obstacles: []archive.Obstacle{{Path: "p/aux", Why: "the name of a device", Systems: []string{"windows"}}},
	})
	if len(told) != 2 || !strings.Contains(told[0], "p/f") || !strings.Contains(told[1], "windows") {
		t.Errorf("got %q", told)
	}
}
