package castest_test

import (
	"testing"

	"github.com/MordragT/nuka/cas/castest"
)

func TestModel(t *testing.T) {
	castest.TestStore(t, func(*testing.T) castest.Store { return castest.NewModel() })
}

func TestDisk(t *testing.T) {
	castest.TestStore(t, func(t *testing.T) castest.Store { return castest.OnDisk{Store: castest.Open(t, t.TempDir(), nil)} })
}
