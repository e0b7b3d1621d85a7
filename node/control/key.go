package control

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/internal/atomicfile"
)

// LoadKey reads the ed25519 key in a file. If the file does not exist, LoadKey makes a key.
// If several processes make it at once, one wins and all get the same key.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	for {
		content, err := os.ReadFile(path)
		if err == nil {
			seed, err := hex.DecodeString(string(bytes.TrimSpace(content)))
			if err != nil || len(seed) != ed25519.SeedSize {
				return nil, fmt.Errorf("key %s: want %d bytes in hex; move it away to get a new identity", path, ed25519.SeedSize)
			}
			return ed25519.NewKeyFromSeed(seed), nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("key: %w", err)
		}
		if err := newKeyFile(path); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("key: %w", err)
		}
	}
}

// newKeyFile writes a new key atomically, unless the file exists.
func newKeyFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	return atomicfile.Create(path, fmt.Appendln(nil, hex.EncodeToString(seed)))
}
