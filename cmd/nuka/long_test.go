package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestLong builds and runs real packages from the registries in the user's configuration: NUKA_LONG=1.
// It takes a quarter of an hour on two idle cores.
func TestLong(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1: it needs the registries and a quarter of an hour")
	}
	set, err := filepath.Abs("../../packages")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/long",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			home, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
			if err != nil {
				return err
			}
			e.Vars = append(os.Environ(), "WORK="+e.WorkDir, "NUKA_HOME="+home, "SET="+set, "TERM=dumb",
				"PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Defer(func() {
				for _, dir := range []string{home, filepath.Join(e.WorkDir, "home-2")} {
					if _, err := os.Stat(dir); err == nil {
						stop(t, dir)
					}
				}
				if err := os.RemoveAll(home); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sample": sample, "await": await},
	})
}

// sample FILE SIZE writes a moderately compressible file of words and numbers; the same size always gives the same bytes.
func sample(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 2000)
	for i := range words {
		words[i] = make([]byte, 2+r.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + r.IntN(26))
		}
	}
	var b bytes.Buffer
	for b.Len() < size {
		b.Write(words[min(r.IntN(len(words)), r.IntN(len(words)))])
		b.WriteByte(" \n"[r.IntN(20)/19])
		if r.IntN(50) == 0 {
			b.Write(binary.LittleEndian.AppendUint64(nil, r.Uint64()))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes()[:size], 0o644))
}
