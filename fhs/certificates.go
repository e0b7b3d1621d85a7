package fhs

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // OpenSSL names certificates by it; it protects nothing
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

const (
	certificatesFrom = "usr/share/ca-certificates"
	certificatesTo   = "etc/ssl/certs"
	// maxBundle bounds the bytes of all trusted certificates; Debian's are 220 kB.
	maxBundle = 16 << 20
)

// A certificate is a file of trusted certificates.
type certificate struct {
	at, name string // its path in the tree, and its name in certificatesTo
	text     []byte
	der      []byte // of the first one in it; nil if that is broken
	hash     string // of its subject
}

// trusted returns the files of trusted certificates, in the order of their paths. Links are none.
func (c *composition) trusted() ([]certificate, error) {
	if c.certs != nil {
		return c.certs, nil
	}
	var all []certificate
	for at, p := range c.places {
		if p.Kind == File && strings.HasPrefix(at, certificatesFrom+"/") && strings.HasSuffix(at, ".crt") {
			name := strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(strings.TrimSuffix(path.Base(at), ".crt")) + ".pem"
			all = append(all, certificate{at: at, name: name})
		}
	}
	slices.SortFunc(all, func(a, b certificate) int { return strings.Compare(a.at, b.at) })
	total := 0
	for i := range all {
		text, _, err := c.text(all[i].at)
		if err != nil {
			return nil, err
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(slices.Clone(text), '\n')
		}
		all[i].text = text
		if der := derOf(text); der != nil {
			if hash, ok := subjectHash(der); ok {
				all[i].der, all[i].hash = der, hash
			}
		}
		if total += len(text); total > maxBundle {
			return nil, protocol.Errorf(protocol.Exhausted, "environment: the certificates in %s have more than %d bytes", certificatesFrom, maxBundle)
		}
	}
	c.certs = all
	return all, nil
}

// certificates makes the bundle, and the folder in which OpenSSL finds a certificate by the hash of its subject.
func certificates(c *composition) error {
	all, err := c.trusted()
	if err != nil || len(all) == 0 {
		return err
	}
	var bundle []byte
	seen := map[string]int{} // of each hash
	type named struct{ name, hash string }
	var hashed []named
	for _, one := range all {
		bundle = append(bundle, one.text...)
		if !c.link(certificatesTo+"/"+one.name, one.at) {
			continue
		}
		if one.der != nil {
			hashed = append(hashed, named{one.name, one.hash})
		}
	}
	slices.SortFunc(hashed, func(a, b named) int { return strings.Compare(a.name, b.name) })
	for _, h := range hashed {
		c.link(fmt.Sprintf("%s/%s.%d", certificatesTo, h.hash, seen[h.hash]), certificatesTo+"/"+h.name)
		seen[h.hash]++
	}
	c.derive(certificatesTo+"/ca-certificates.crt", Entry{Kind: File, Data: bundle})
	return nil
}

// derOf returns the first certificate of a file in the text form (RFC 7468), or nil.
func derOf(text []byte) []byte {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	return block.Bytes
}

// subjectHash returns the name under which OpenSSL looks for a certificate in a folder: X509_NAME_hash_ex(3), four bytes of the SHA-1 of the
// canonical form of the subject.
func subjectHash(der []byte) (string, bool) {
	subject, ok := subjectOf(der)
	if !ok {
		return "", false
	}
	canonical, err := canonicalName(subject)
	if err != nil {
		return "", false
	}
	sum := sha1.Sum(canonical) //nolint:gosec // as above
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:])), true
}

// subjectOf returns the subject of a certificate (RFC 5280 4.1). It checks nothing else: what crypto/x509 refuses changes with its version, and
// the result of a layout may not.
func subjectOf(der []byte) ([]byte, bool) {
	var cert, part asn1.RawValue
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil, false
	}
	if _, err := asn1.Unmarshal(cert.Bytes, &part); err != nil {
		return nil, false
	}
	rest := part.Bytes // tbsCertificate: version, serial number, signature, issuer, validity, subject
	for n := 0; len(rest) > 0; n++ {
		var err error
		if rest, err = asn1.Unmarshal(rest, &part); err != nil {
			return nil, false
		}
		if n == 0 && (part.Class != asn1.ClassContextSpecific || part.Tag != 0) {
			n++ // version 1 is not written
		}
		if n == 5 {
			return part.FullBytes, part.Class == asn1.ClassUniversal && part.Tag == asn1.TagSequence
		}
	}
	return nil, false
}

// canonicalName returns OpenSSL's canonical form of a name (x509_name_canon in crypto/x509/x_name.c): its sets without the sequence around
// them, each text as UTF-8 in lower case, with single spaces inside and none at its ends.
func canonicalName(raw []byte) ([]byte, error) {
	var sets []asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &sets); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("a name: %v", err)
	}
	var out []byte
	for _, set := range sets {
		var parts [][]byte
		for rest := set.Bytes; len(rest) > 0; {
			var pair struct {
				ID    asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &pair); err != nil {
				return nil, err
			}
			pair.Value = canonicalText(pair.Value)
			b, err := asn1.Marshal(pair)
			if err != nil {
				return nil, err
			}
			parts = append(parts, b)
		}
		slices.SortFunc(parts, bytes.Compare)
		b, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(parts, nil)})
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// canonicalText returns the canonical form of a value; what is no text stays as it is.
func canonicalText(v asn1.RawValue) asn1.RawValue {
	var text string
	switch {
	case v.Class != asn1.ClassUniversal:
		return v
	case slices.Contains([]int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, 26 /* VisibleString */}, v.Tag):
		text = string(v.Bytes)
	case v.Tag == asn1.TagT61String:
		runes := make([]rune, len(v.Bytes))
		for i, b := range v.Bytes {
			runes[i] = rune(b)
		}
		text = string(runes)
	case v.Tag == asn1.TagBMPString && len(v.Bytes)%2 == 0:
		for i := 0; i < len(v.Bytes); i += 2 {
			text += string(rune(binary.BigEndian.Uint16(v.Bytes[i:])))
		}
	default:
		return v
	}
	var out []byte
	for i, word := range bytes.FieldsFunc([]byte(text), func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }) {
		if i > 0 {
			out = append(out, ' ')
		}
		for _, b := range word {
			if b >= 'A' && b <= 'Z' {
				b += 'a' - 'A'
			}
			out = append(out, b)
		}
	}
	return asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: out}
}

// javaCertificates makes the key store of Java's trusted certificates, if a package has its folder.
func javaCertificates(c *composition) error {
	const folder = certificatesTo + "/java"
	if p := c.places[folder]; p.Entry == nil || p.Kind != Dir {
		return nil
	}
	all, err := c.trusted()
	if err != nil || len(all) == 0 {
		return err
	}
	var entries []jksEntry
	for _, one := range all {
		if one.der != nil { // Java reads no store that has a broken certificate
			entries = append(entries, jksEntry{strings.ToLower("debian:" + one.name), one.der})
		}
	}
	c.derive(folder+"/cacerts", Entry{Kind: File, Data: encodeJKS(entries)})
	return nil
}

// A jksEntry is a trusted certificate of a key store.
type jksEntry struct {
	alias string
	der   []byte
}

// encodeJKS writes a key store of the type JKS, version 2, with trusted certificates only (sun.security.provider.JavaKeyStore): sorted, without
// dates, and with the password "changeit", which every Java expects and which protects nothing.
func encodeJKS(entries []jksEntry) []byte {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b jksEntry) int { return strings.Compare(a.alias, b.alias) })
	entries = slices.CompactFunc(entries, func(a, b jksEntry) bool { return a.alias == b.alias })
	text := func(out []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(out, uint16(len(s))), s...)
	}
	out := binary.BigEndian.AppendUint32(nil, 0xfeedfeed)
	out = binary.BigEndian.AppendUint32(out, 2)
	out = binary.BigEndian.AppendUint32(out, uint32(len(entries)))
	for _, e := range entries {
		out = binary.BigEndian.AppendUint32(out, 2) // a trusted certificate
		out = text(out, e.alias)
		out = binary.BigEndian.AppendUint64(out, 0) // the date
		out = text(out, "X.509")
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.der)))
		out = append(out, e.der...)
	}
	h := sha1.New() //nolint:gosec // the format's
	for _, c := range "changeit" {
		h.Write([]byte{0, byte(c)}) //nolint:errcheck // never fails
	}
	h.Write([]byte("Mighty Aphrodite")) //nolint:errcheck // never fails
	h.Write(out)                        //nolint:errcheck // never fails
	return h.Sum(out)
}
