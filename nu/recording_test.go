package nu

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
)

// pinnedFile is a package whose build needs one package of the lock file, and one that the lock file does not have.
const pinnedFile = `use lang/python.nu
export def main [] {
  python app {name: x, version: "1", build_system: [gcc libcairo2-dev], recording: ./recording.nuon}
}
`

// TestPins evaluates a package with an open recording, with one that pins what it asks for, and with one that does not.
func TestPins(t *testing.T) {
	digest := pir.NewHash(pir.SHA256, bytes.Repeat([]byte{7}, 32))
	pinned := &ecosystem.Recording{Ecosystem: "pip", Door: ecosystem.DoorRegistry,
		System:      []ecosystem.SystemPackage{{Name: "gcc", Version: "0", Arch: "amd64", Hash: digest, Path: "pool/g.deb"}},
		BuildSystem: []ecosystem.SystemPackage{{Name: "libcairo2-dev", Version: "1.18", Arch: "amd64", Hash: digest, Path: "pool/c.deb"}}}
	text, err := pinned.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := testEngine(t, nil)
	run := func(recording []byte, open bool, pins *ecosystem.Recording) (*Result, error) {
		sets := []Mount{{Path: "/packages", FS: packages.FS, Library: true},
			{Path: "/work", FS: fstest.MapFS{"x.nu": {Data: []byte(pinnedFile)}, "recording.nuon": {Data: recording}}, Host: "."}}
		req := &Request{Sets: sets, File: "/work/x.nu", Pinned: pins}
		if open {
			req.Record = func(string) bool { return true }
		}
		return e.Eval(t.Context(), req)
	}
	runtime := func(res *Result) map[string]pir.PID {
		t.Helper()
		known := map[pir.PID]*pir.PIR{}
		for _, p := range res.Packages {
			got, err := pir.Decode(p.Canonical)
			if err != nil {
				t.Fatal(err)
			}
			known[p.PID] = got
		}
		return known[known[res.Root].Runtime].Packages
	}
	res, err := run(nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"libcairo2-dev"}, res.Unpinned); diff != "" {
		t.Error(diff)
	}
	locked := runtime(res)["gcc"]
	for _, open := range []bool{true, false} {
		if res, err = run(text, open, pinned); err != nil {
			t.Fatal(err)
		}
		got := runtime(res)
		if len(res.Unpinned) > 0 || got["libcairo2-dev"].IsZero() || got["gcc"] != locked {
			t.Errorf("open %v: lacks %v, and the runtime has libcairo2-dev %v, gcc %v; want the locked gcc %v", open, res.Unpinned, got["libcairo2-dev"], got["gcc"], locked)
		}
	}
	if _, err := run(emptyRecording, false, nil); err == nil || !strings.Contains(err.Error(), "no pin of the Debian package libcairo2-dev") {
		t.Errorf("without the pin: got %v", err)
	}
}
