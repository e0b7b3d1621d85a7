package castest_test

import (
	"testing"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
)

func TestModel(t *testing.T) {
	castest.TestStore(t, func(*testing.T) castest.Store { return castest.NewModel() })
}

func TestDisk(t *testing.T) {
	castest.TestStore(t, func(t *testing.T) castest.Store { return castest.OnDisk{Store: open(t, t.TempDir(), nil)} })
}

func open(t testing.TB, dir string, o *cas.Options) *cas.Store {
	t.Helper()
	s, err := cas.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
