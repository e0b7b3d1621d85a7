package nu

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

//go:embed engine.wasm.zst
var engineZstd []byte

//go:embed engine.digest
var engineDigest string

// EngineDigest returns the digest of the sources of the embedded Nushell.
func EngineDigest() string { return strings.TrimSpace(engineDigest) }

// EngineCode returns the module of the embedded Nushell. The caller must not change it.
func EngineCode() ([]byte, error) { return engineCode() }

// engineCode returns the module of the embedded Nushell.
var engineCode = sync.OnceValues(func() ([]byte, error) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, fmt.Errorf("unpack the embedded nushell: %w", err)
	}
	defer d.Close()
	code, err := d.DecodeAll(engineZstd, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack the embedded nushell: %w", err)
	}
	return code, nil
})
