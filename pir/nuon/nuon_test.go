package nuon

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"null", nil, `null`},
		{"bool", true, `true`},
		{"min", int64(-1 << 63), `-9223372036854775808`},
		{"string", "a\"b\\c\n\x00é", "\"a\\\"b\\\\c\n\x00é\""},
		{"binary", Binary{0, 0xff}, `0x[00FF]`},
		{"duration", Duration(-3), `-3ns`},
		{"size", Filesize(1<<53 - 1), `9007199254740991b`},
		{"list", List{int64(1), List{}, Record{}, nil}, `[1,[],{},null]`},
		{"sorted", Record{"b": int64(1), "a": int64(2), "B": nil, "": "x"}, `{"":"x","a":2,"b":1}`},
		{"bytes order", Record{"é": true, "z": true, "Z": true}, `{"Z":true,"z":true,"é":true}`},
		{"eased types", map[string]any{"a": []string{"x"}, "b": map[string]string{"k": "v"}, "c": 7}, `{"a":["x"],"b":{"k":"v"},"c":7}`},
	} {
		got, err := Encode(tt.v)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	deep := any(List{})
	for range MaxDepth + 1 {
		deep = List{deep}
	}
	for name, v := range map[string]any{
		"float": 1.5, "not utf-8": "\xff", "duration": Duration(1 << 53), "size": Filesize(-1 << 53),
		"deep": deep, "key": Record{"\xff": true},
	} {
		if got, err := Encode(v); err == nil {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{
		``, ` 1`, `1 `, `01`, `-0`, `+1`, `1.0`, `9223372036854775808`, `9007199254740992ns`, `9007199254740992b`,
		`"a`, `"\n"`, "\"\xff\"", `0x[f]`, `0x[ff]`, `0x[F`, `[1,]`, `[,1]`, `[1 2]`, `{a:1}`, `{"a":null}`,
		`{"b":1,"a":1}`, `{"a":1,"a":1}`, `{"a":1,}`, `{"a" :1}`, `nul`, `[[a];[1]]`, `2024-01-01`, `1..2`,
		strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2),
	} {
		if v, err := Decode([]byte(text)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%.40q: got %v, %v; want ErrNotCanonical", text, v, err)
		}
	}
}

// TestRoundTrip checks that random values survive encoding and decoding; their strings contain characters that confuse parsers.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		v := randomValue(r, 0)
		text, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(v, back); diff != "" {
			t.Fatalf("%s: (-want +got)\n%s", text, diff)
		}
	}
}

var alphabet = []rune("ab $(){}[]\"'`\\#;|,:.!?=\n\r\t\x00\x07-+~^/*é😀\u2028\ufeff01rnsx&%@<>_\u00a0")

func randomString(r *rand.Rand) string {
	s := make([]rune, r.IntN(8))
	for i := range s {
		s[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(s)
}

func randomValue(r *rand.Rand, depth int) any {
	n := 8
	if depth > 3 {
		n = 6
	}
	switch r.IntN(n) {
	case 0:
		return r.IntN(2) == 0
	case 1:
		return int64(r.Uint64())
	case 2:
		return Duration(r.Int64N(1<<53) - 1<<52)
	case 3:
		return Filesize(r.Int64N(1 << 52))
	case 4:
		b := make(Binary, r.IntN(5))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 5:
		return randomString(r)
	case 6:
		list := List{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth+1))
		}
		return list
	}
	rec := Record{}
	for range r.IntN(4) {
		rec[randomString(r)] = randomValue(r, depth+1)
	}
	return rec
}

// FuzzDecode checks that whatever Decode accepts is exactly what Encode writes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2ns,3b,0x[FF],"x\"y"],"b":{}}`, `null`, `[null,-1]`, `{"":""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Decode(text)
		if err != nil {
			return
		}
		again, err := Encode(v)
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q decodes, but encodes to %q, %v", text, again, err)
		}
	})
}
