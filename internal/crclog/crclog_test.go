package crclog_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/internal/crclog"
)

var records = []crclog.Record{
	{Key: []byte("/k"), Value: []byte("value")},
	{Key: []byte("/empty"), Value: []byte{}},
	{Deleted: true, Key: []byte("/k")},
}

// frozen holds the bytes of records from earlier releases. They must never change.
var frozen = map[string]struct {
	format crclog.Format
	log    string
}{
	"framed": {crclog.Framed, "" +
		"090000007f6e1d77" + "2b" + "02" + "2f6b" + "76616c7565" +
		"0800000027bb7d78" + "2b" + "06" + "2f656d707479" +
		"040000004a24b3e0" + "2d" + "02" + "2f6b"},
	"summed": {crclog.Summed, "" +
		"02" + "06" + "2f6b" + "76616c7565" + "8e032c6a" +
		"06" + "01" + "2f656d707479" + "5d25a060" +
		"02" + "00" + "2f6b" + "4331972a"},
}

func read(f crclog.Format, log []byte) (all []crclog.Record, good int64, err error) {
	good, err = crclog.Read(f, bytes.NewReader(log), func(r crclog.Record) error {
		all = append(all, r)
		return nil
	})
	return all, good, err
}

var sameBytes = cmp.Comparer(bytes.Equal)

func TestFrozen(t *testing.T) {
	for name, tt := range frozen {
		want, err := hex.DecodeString(tt.log)
		if err != nil {
			t.Fatal(err)
		}
		var log []byte
		for _, r := range records {
			log = tt.format.Append(log, r)
		}
		if !bytes.Equal(log, want) {
			t.Errorf("%s: got %x, want %x", name, log, want)
		}
		got, good, err := read(tt.format, want)
		if diff := cmp.Diff(records, got, sameBytes); diff != "" || err != nil || good != int64(len(want)) {
			t.Errorf("%s: read %d of %d bytes, %v (-want +got):\n%s", name, good, len(want), err, diff)
		}
		for i, r := range got {
			if !r.Deleted && r.Value == nil {
				t.Errorf("%s: record %d has no value and is not deleted", name, i)
			}
		}
	}
}

// TestTorn checks that a truncated or damaged log gives the records before the damage, and their length.
func TestTorn(t *testing.T) {
	for name, tt := range frozen {
		var log []byte
		ends := []int{0}
		for _, r := range records {
			log = tt.format.Append(log, r)
			ends = append(ends, len(log))
		}
		whole := func(at int) (n int) { // records that end at or before a byte
			for n+1 < len(ends) && ends[n+1] <= at {
				n++
			}
			return n
		}
		check := func(what string, at int, log []byte, torn bool) {
			t.Helper()
			got, good, err := read(tt.format, log)
			n := whole(at)
			if len(got) != n || good != int64(ends[n]) || torn != errors.Is(err, crclog.ErrTorn) || !torn && err != nil {
				t.Errorf("%s: %s byte %d: got %d records, %d bytes, %v; want %d, %d", name, what, at, len(got), good, err, n, ends[n])
			}
		}
		for at := range log {
			check("cut at", at, log[:at], at != ends[whole(at)])
			for bit := range 8 {
				changed := bytes.Clone(log)
				changed[at] ^= 1 << bit
				check("changed", at, changed, true)
			}
		}
		check("zeros from", len(log), append(bytes.Clone(log), make([]byte, 20)...), true)
	}
}

// TestReadErrors checks that errors of the reader and of the callback are not reported as a torn log.
func TestReadErrors(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range frozen {
		one := tt.format.Append(nil, records[0])
		for cut := range len(one) {
			in := io.MultiReader(bytes.NewReader(one), bytes.NewReader(one[:cut]), iotest.ErrReader(boom))
			good, err := crclog.Read(tt.format, in, func(crclog.Record) error { return nil })
			if !errors.Is(err, boom) || good != int64(len(one)) {
				t.Errorf("%s: the reader fails after %d bytes of a record: got %d, %v, want %d, %v", name, cut, good, err, len(one), boom)
			}
		}
		good, err := crclog.Read(tt.format, bytes.NewReader(one), func(crclog.Record) error { return boom })
		if !errors.Is(err, boom) || good != 0 {
			t.Errorf("%s: the callback fails: got %d, %v, want 0, %v", name, good, err, boom)
		}
	}
}

// TestFits checks that a record can be read if and only if it fits.
func TestFits(t *testing.T) {
	for name, tt := range map[string]struct {
		format     crclog.Format
		key, value int
	}{
		"key": {crclog.Summed, 1 << 20, 0}, "value": {crclog.Summed, 1, 1<<20 - 1}, "body": {crclog.Framed, 1, 64<<20 - 7},
	} {
		for more := range 2 {
			key, value := tt.key, tt.value
			if name == "key" {
				key += more
			} else {
				value += more
			}
			if got := tt.format.Fits(key, value); got != (more == 0) {
				t.Errorf("%s: %d and %d bytes fit: got %v", name, key, value, got)
			}
			if more > 0 && name == "body" {
				continue // Fits allows for the longest length of a key
			}
			_, _, err := read(tt.format, tt.format.Append(nil, crclog.Record{Key: make([]byte, key), Value: make([]byte, value)}))
			if (err == nil) != (more == 0) {
				t.Errorf("%s: read %d and %d bytes: got %v", name, key, value, err)
			}
		}
		if tt.format.Fits(0, 1) {
			t.Errorf("%s: an empty key fits", name)
		}
	}
}

// FuzzRead checks that a decoded record survives encoding and decoding; a summed one has the same bytes again.
func FuzzRead(f *testing.F) {
	for _, tt := range frozen {
		log, err := hex.DecodeString(tt.log)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(log)
		f.Add(log[:len(log)-1])
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		for name, tt := range frozen {
			got, good, err := read(tt.format, log)
			if (err == nil) != (good == int64(len(log))) || err != nil && !errors.Is(err, crclog.ErrTorn) {
				t.Fatalf("%s: got %d of %d bytes, %v", name, good, len(log), err)
			}
			var again []byte
			for _, r := range got {
				if !tt.format.Fits(len(r.Key), len(r.Value)) && name == "summed" {
					t.Fatalf("%s: a record of %d and %d bytes does not fit", name, len(r.Key), len(r.Value))
				}
				again = tt.format.Append(again, r)
			}
			if name == "summed" && !bytes.Equal(again, log[:good]) {
				t.Errorf("%s: got %x, want %x", name, again, log[:good])
			}
			twice, _, err := read(tt.format, again)
			if diff := cmp.Diff(got, twice, sameBytes); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	})
}
