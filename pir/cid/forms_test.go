package cid

import (
	"errors"
	"strings"
	"testing"

	ipfs "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

// TestParseForm reads every form that go-cid writes and expects the same CID from each.
func TestParseForm(t *testing.T) {
	want := Sum(DagPB, []byte("some content"))
	other, err := ipfs.Decode(want.String())
	if err != nil {
		t.Fatal(err)
	}
	bases := []multibase.Encoding{
		multibase.Base16, multibase.Base16Upper, multibase.Base32, multibase.Base32Upper, multibase.Base32hex, multibase.Base36, multibase.Base36Upper,
		multibase.Base58BTC, multibase.Base64, multibase.Base64url,
	}
	for _, base := range bases {
		text, err := other.StringOfBase(base)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{text, "/ipfs/" + text, "ipfs://" + text, "ipfs://" + text + "/"} {
			if got, rest, err := ParseForm(form); err != nil || got != want || rest != "" {
				t.Errorf("%s: got %v, %q, %v", form, got, rest, err)
			}
		}
	}
	if got, rest, err := ParseForm("/ipfs/" + want.String() + "/bin/lua"); err != nil || got != want || rest != "bin/lua" {
		t.Errorf("got %v, %q, %v", got, rest, err)
	}
	sha, err := multihash.Sum([]byte("x"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	blake, err := multihash.Encode(make([]byte, 32), hashBlake3)
	if err != nil {
		t.Fatal(err)
	}
	for text, why := range map[string]string{
		ipfs.NewCidV0(sha).String():             "SHA-256",
		ipfs.NewCidV1(ipfs.Raw, sha).String():   "SHA-256",
		ipfs.NewCidV1(0x71, blake).String():     "codec is number 0x71",
		"ipfs://" + ipfs.NewCidV0(sha).String(): "SHA-256",
	} {
		if _, _, err := ParseForm(text); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want %s", text, err, why)
		}
	}
	for _, bad := range []string{"", "x", "b", "/ipfs/", "ipfs://", "lua", "Qm" + strings.Repeat("0", 44), "zzzz", "k0", want.String()[:50], strings.Repeat("f0", 1000)} {
		if _, _, err := ParseForm(bad); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.60q: got %v, want a mistake", bad, err)
		}
	}
}

func FuzzParseForm(f *testing.F) {
	f.Add(Sum(Raw, []byte("a")).String())
	f.Add("/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG/readme")
	f.Add("k2jmtxx")
	f.Fuzz(func(t *testing.T, s string) {
		c, _, err := ParseForm(s)
		switch {
		case err == nil && c.IsZero():
			t.Error("no CID and no error")
		case err != nil && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrSyntax):
			t.Errorf("got %v", err)
		}
	})
}
