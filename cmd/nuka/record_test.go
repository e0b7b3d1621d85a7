package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/node/config"
)

// TestEcosystemNames checks that the setting ecosystem knows each adapter.
func TestEcosystemNames(t *testing.T) {
	for _, a := range adapters.All() {
		at := filepath.Join(t.TempDir(), "config.nuon")
		if err := os.WriteFile(at, fmt.Appendf(nil, "{ecosystem: {cooldown: {%s: 1hr}}}", a.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := config.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Get().Ecosystem; got.CooldownOf(a.Name()) != time.Hour {
			t.Errorf("%s: got %+v", a.Name(), got)
		}
	}
}
