package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// ErrValue says that a value of the index is not one of its table.
var ErrValue = errors.New("malformed value in the index")

// EncodeSize encodes the size of a blob.
func EncodeSize(n int64) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// DecodeSize decodes what EncodeSize encoded.
func DecodeSize(b []byte) (int64, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) || int64(v) < 0 {
		return 0, ErrValue
	}
	return int64(v), nil
}

// A Place is the range of a blob that a leaf is.
type Place struct {
	Blob         cid.CID
	Offset, Size int64
}

// Encode encodes a place.
func (p Place) Encode() []byte {
	b := append(make([]byte, 0, 48), p.Blob.Bytes()...)
	b = binary.AppendUvarint(b, uint64(p.Offset))
	return binary.AppendUvarint(b, uint64(p.Size))
}

// DecodePlace decodes what Encode encoded.
func DecodePlace(b []byte) (Place, error) {
	blob, err := cid.FromBytes(b[:min(len(b), cid.Size)])
	if err != nil {
		return Place{}, ErrValue
	}
	offset, n := binary.Uvarint(b[cid.Size:])
	if n <= 0 {
		return Place{}, ErrValue
	}
	size, err := DecodeSize(b[cid.Size+n:])
	if err != nil || size <= 0 || size > cid.LeafSize || offset > 1<<62 {
		return Place{}, ErrValue
	}
	return Place{blob, int64(offset), size}, nil
}

// EncodePIR encodes a PIR and its origins.
func EncodePIR(canonical, origins []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 8+len(canonical)+len(origins)), uint64(len(canonical)))
	b = append(b, canonical...)
	return append(b, origins...)
}

// DecodePIR decodes what EncodePIR encoded.
func DecodePIR(b []byte) (canonical, origins []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, ErrValue
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}

// A Root is the value of a record of Roots.
type Root struct {
	CID     cid.CID
	PID     pir.PID   // zero if unknown
	Created time.Time // whole seconds
}

// Encode encodes a root.
func (r Root) Encode() ([]byte, error) {
	rec := nuon.Record{"root": int64(1), "cid": r.CID.String(), "created": r.Created.Unix()}
	if !r.PID.IsZero() {
		rec["pid"] = r.PID.String()
	}
	return nuon.Encode(rec)
}

// DecodeRoot decodes what Encode encoded.
func DecodeRoot(b []byte) (Root, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return Root{}, err
	}
	var r Root
	text, _ := rec["cid"].(string)
	if r.CID, err = cid.Parse(text); err != nil {
		return Root{}, err
	}
	if text, ok := rec["pid"].(string); ok {
		if r.PID, err = pir.ParsePID(text); err != nil {
			return Root{}, err
		}
	}
	created, _ := rec["created"].(int64)
	r.Created = time.Unix(created, 0)
	again, err := r.Encode()
	if err != nil || !bytes.Equal(again, b) {
		return Root{}, ErrValue
	}
	return r, nil
}

// useStep is how exactly the last use of a package is recorded.
const useStep = 24 * time.Hour

// EncodeUse encodes the day of a use.
func EncodeUse(at time.Time) []byte {
	return binary.AppendUvarint(nil, uint64(max(0, at.Unix())/int64(useStep/time.Second)))
}

// DecodeUse returns the beginning of the day that EncodeUse encoded.
func DecodeUse(b []byte) (time.Time, error) {
	day, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) || day > 1<<32 {
		return time.Time{}, ErrValue
	}
	return time.Unix(int64(day)*int64(useStep/time.Second), 0), nil
}

// maxRootName bounds a root's name in bytes.
const maxRootName = 1024

// CheckRootName returns an error if a root cannot have a name.
func CheckRootName(name string) error {
	if name == "" || len(name) > maxRootName || !utf8.ValidString(name) {
		return fmt.Errorf("a name is UTF-8 and has 1 to %d bytes", maxRootName)
	}
	return nil
}

// journaledTables lists the tables that are copied in the journal, in the order in which a new journal has them.
var journaledTables = []Table{Nodes, PIRs, Attestations, Bindings, Roots, Uses}

// journaled says whether the record with a key is copied in the journal.
func journaled(k []byte) bool { return slices.Contains(journaledTables, Table(k[0])) }

// checkRecord returns an error if a record of the journal is none of a journaled table.
func checkRecord(r crclog.Record) error {
	k, v := r.Key[1:], r.Value
	sized := func(n int) error {
		if len(k) != n {
			return ErrValue
		}
		return nil
	}
	if r.Deleted {
		return nil
	}
	switch Table(r.Key[0]) {
	case Nodes:
		if sized(32) != nil || cid.Sum(cid.DagPB, v).Digest() != [32]byte(k) {
			return ErrValue
		}
		_, err := cid.Decode(v)
		return err
	case PIRs:
		canonical, _, err := DecodePIR(v)
		if sized(32) != nil || err != nil || pir.Sum(canonical) != pir.PID(k) {
			return ErrValue
		}
		return nil
	case Attestations:
		a, err := protocol.DecodeAttestation(v)
		if err == nil && string(AttestationKey(a)) != string(r.Key) {
			err = ErrValue
		}
		return err
	case Bindings:
		_, err := cid.FromBytes(v)
		return errors.Join(sized(32), err)
	case Roots:
		_, err := DecodeRoot(v)
		return err
	case Uses:
		_, err := DecodeUse(v)
		return errors.Join(sized(32), err)
	}
	return ErrValue
}
