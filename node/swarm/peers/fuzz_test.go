package peers

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/ipfs/go-datastore"
)

// What the log accepts is what it writes.
func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, datastore.NewKey("/a"), []byte("b"), false))
	f.Add(appendRecord(nil, datastore.NewKey("/a"), nil, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, value, err := readRecord(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if again := appendRecord(nil, key, value, value == nil); !bytes.HasPrefix(b, again) {
			t.Errorf("%q is written as %q", b, again)
		}
	})
}
