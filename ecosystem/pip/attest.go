package pip

import (
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/pir"
)

// Check implements ecosystem.Checker. It verifies the attestations that the index names for a file (PEP 740). One that is wrong is an error; one that cannot be verified counts
// as none.
func (Adapter) Check(f *ecosystem.File, ask func(ecosystem.Request) []byte) (string, error) {
	roots, err := attest.Public()
	if err != nil {
		return "", err
	}
	return attested(f, ask, roots)
}

func attested(f *ecosystem.File, ask func(ecosystem.Request) []byte, roots *attest.Roots) (string, error) {
	if f.Signed == nil || f.Signed.Provenance.Alias == "" || f.Promised.Algorithm != pir.SHA256 {
		return "", nil
	}
	text := ask(f.Signed.Provenance)
	if text == nil {
		return "", nil
	}
	list, err := attest.Statements(text)
	if err != nil {
		return "", nil // of another format
	}
	return attest.Check(list, f.Promised, roots)
}
