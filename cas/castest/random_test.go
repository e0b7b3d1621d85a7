package castest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/cas/castest"
)

// long reports whether the long tests are enabled: NUKA_LONG=1.
func long() bool { return os.Getenv("NUKA_LONG") != "" }

// TestMetamorphic checks that the store behaves as the model does, also after it is opened again, after its index is lost,
// and after its journal is lost.
func TestMetamorphic(t *testing.T) {
	seeds, ops := 4, 150
	if testing.Short() {
		seeds = 1
	}
	if long() {
		seeds, ops = 60, 400
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			s := castest.Open(t, dir, nil)
			c := castest.Compare{Store: castest.OnDisk{Store: s}, Reopen: func(t *testing.T, r *rand.Rand) castest.Store {
				castest.Check(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				switch r.IntN(4) {
				case 0:
					lose(t, filepath.Join(dir, "index"))
				case 1:
					lose(t, filepath.Join(dir, "meta"))
				case 2:
					if err := os.WriteFile(filepath.Join(dir, "index.damaged"), nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				s = castest.Open(t, dir, nil)
				castest.Check(t, s)
				return castest.OnDisk{Store: s}
			}}
			c.Run(t, rand.New(rand.NewPCG(uint64(seed), 1)), ops)
			castest.Check(t, s)
		})
	}
}

func lose(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
