package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Format is the format of a written inventory.
type Format string

// The formats.
const (
	CycloneDX Format = "cyclonedx" // CycloneDX 1.6 (ECMA-424), JSON
	SPDX      Format = "spdx"      // SPDX 2.3, JSON
)

// Formats returns the formats.
func Formats() []Format { return []Format{CycloneDX, SPDX} }

// WriteOptions are those of Write.
type WriteOptions struct {
	Tool string // name and version of the program that writes, as NAME-VERSION
	// Created is the time in the file. Zero: CycloneDX has none, and SPDX, which needs one, has 1970-01-01.
	Created time.Time
}

// Write writes an inventory. The bytes depend on the arguments alone.
func Write(out io.Writer, i *Inventory, f Format, o *WriteOptions) error {
	switch f {
	case CycloneDX:
		return writeCycloneDX(out, i, o)
	case SPDX:
		return writeSPDX(out, i, o)
	}
	return fmt.Errorf("format %.40q: want %s or %s", string(f), CycloneDX, SPDX)
}

// ref returns an identifier of a part that is unique in its inventory and the same in each: of letters, digits and -.
func (p *Part) ref() string {
	key, err := json.Marshal([]string{string(p.Where), p.Type, p.Name, p.Version, p.PURL, p.PID.String()})
	if err != nil {
		panic(err) // a list of strings
	}
	sum := sha256.Sum256(key)
	return "part-" + hex.EncodeToString(sum[:16])
}

// uuid returns the name of an inventory, from what is in it (RFC 9562, version 8).
func (i *Inventory) uuid(o *WriteOptions, f Format) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{f, o, i.Root, i.Missing}); err != nil {
		return "", err
	}
	text := json.NewEncoder(h)
	for n := range i.Parts {
		if err := text.Encode(&i.Parts[n]); err != nil {
			return "", err
		}
	}
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// refs maps packages of nuka to their identifiers.
func (i *Inventory) refs(root string) map[pir.PID]string {
	at := map[pir.PID]string{}
	for n := range i.Parts {
		if p := &i.Parts[n]; !p.PID.IsZero() && at[p.PID] == "" {
			at[p.PID] = p.ref()
		}
	}
	if !i.Root.PID.IsZero() {
		at[i.Root.PID] = root
	}
	return at
}

var digestBytes = map[string]int{"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}

// hashes yields the hashes of a file that have names in both formats.
func (f *File) hashes(yield func(algorithm, hex string)) {
	for _, h := range f.Hashes {
		algorithm, text, _ := strings.Cut(h, ":")
		if raw, err := hex.DecodeString(text); err == nil && len(raw) == digestBytes[algorithm] && len(raw) > 0 {
			yield(algorithm, strings.ToLower(text))
		}
	}
}

// address returns the address that an origin tells, "" if it is only a name in a registry: which registry is the user's own choice.
func (f *File) address() string {
	rec, err := nuon.DecodeRecord([]byte(f.Origin))
	if err != nil {
		return ""
	}
	text, _ := rec["url"].(string)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme == "" {
		return ""
	}
	u.User = nil
	if kind, _ := rec["kind"].(string); kind == "git" {
		if !strings.HasPrefix(u.Scheme, "git") {
			u.Scheme = "git+" + u.Scheme
		}
		if rev, _ := rec["rev"].(string); rev != "" {
			u.Path, u.RawPath = u.Path+"@"+rev, ""
		}
	}
	return u.String()
}
