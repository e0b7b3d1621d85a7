package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/pir"
)

// Checked begins the text in recordings that says who signed an attestation about a file; the name in the signer's certificate follows, such as the address of the workflow
// that published it.
const Checked = "attestation:"

const (
	maxAttestations = 16 // of one file
	payloadType     = "application/vnd.in-toto+json"
)

// Check verifies the attestations about a file, and returns Checked with a signer. Attestations that cannot be verified count as none, and for none Check returns "". If one is
// wrong, it returns an error.
func Check(list []Attestation, file pir.Hash, roots *Roots) (string, error) {
	if len(list) > maxAttestations {
		return "", nil
	}
	var names []string
	for i := range list {
		signer, err := list[i].Verify(file, roots)
		switch {
		case errors.Is(err, ErrUnknown):
		case err != nil:
			return "", fmt.Errorf("an attestation is wrong: %w", err)
		default:
			names = append(names, signer.Name)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return Checked + slices.Min(names), nil
}

// Statements reads the attestations of a provenance file of PyPI (PEP 740).
func Statements(provenance []byte) ([]Attestation, error) {
	var file struct {
		Version int
		Bundles []struct {
			Attestations []struct {
				Version  int
				Envelope struct{ Statement, Signature []byte }
				Material struct {
					Certificate []byte
					Entries     []Entry `json:"transparency_entries"`
				} `json:"verification_material"`
			}
		} `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(provenance, &file); err != nil {
		return nil, fmt.Errorf("its provenance: %w", err)
	}
	var out []Attestation
	for _, b := range file.Bundles {
		for _, a := range b.Attestations {
			if file.Version == 1 && a.Version == 1 {
				out = append(out, Attestation{payloadType, a.Envelope.Statement, a.Envelope.Signature, a.Material.Certificate, a.Material.Entries})
			}
		}
	}
	return out, nil
}

// Bundles reads the attestations that npm's registry has of a version (npm's documentation, "Attestations"): bundles of Sigstore. It leaves out those that a key signed and no certificate
// names, such as the registry's own of who published the version.
func Bundles(text []byte) ([]Attestation, error) {
	type certificate struct{ RawBytes []byte }
	var file struct {
		Attestations []struct {
			Bundle struct {
				Material struct {
					Certificate certificate
					Chain       struct{ Certificates []certificate } `json:"x509CertificateChain"`
					Entries     []Entry                              `json:"tlogEntries"`
				} `json:"verificationMaterial"`
				Envelope struct {
					Payload     []byte
					PayloadType string
					Signatures  []struct{ Sig []byte }
				} `json:"dsseEnvelope"`
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("its attestations: %w", err)
	}
	var out []Attestation
	for _, a := range file.Attestations {
		leaf := a.Bundle.Material.Certificate.RawBytes
		if chain := a.Bundle.Material.Chain.Certificates; leaf == nil && len(chain) > 0 {
			leaf = chain[0].RawBytes
		}
		if e := a.Bundle.Envelope; leaf != nil && len(e.Signatures) == 1 {
			out = append(out, Attestation{e.PayloadType, e.Payload, e.Signatures[0].Sig, leaf, a.Bundle.Material.Entries})
		}
	}
	return out, nil
}
