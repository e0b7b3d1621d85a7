package pip

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/pir"
)

// Attested begins the text in recordings that says who signed an attestation about a file (PEP 740); the name in the signer's certificate follows, such as the address of the
// workflow that published it.
const Attested = "attestation:"

const maxAttestations = 16 // of one file

// Check implements ecosystem.Checker. It verifies the attestations that the index names for a file. One that is wrong is an error; one that cannot be verified counts as none.
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
	if err != nil || len(list) > maxAttestations {
		return "", nil // of another format
	}
	var names []string
	for i := range list {
		signer, err := list[i].Verify(hex.EncodeToString(f.Promised.Digest()), roots)
		switch {
		case errors.Is(err, attest.ErrUnknown):
		case err != nil:
			return "", fmt.Errorf("an attestation is wrong: %w", err)
		case !slices.Contains(names, signer.Name):
			names = append(names, signer.Name)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	slices.Sort(names)
	return Attested + names[0], nil
}
