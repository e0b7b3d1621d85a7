package nuon

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]any{
		"{}":                             Record{},
		" # nothing\n{ } ":               Record{},
		"{a: 1, b: two\n'c d': \"e\"}":   Record{"a": int64(1), "b": "two", "c d": "e"},
		"[1 2,3\n4]":                     List{int64(1), int64(2), int64(3), int64(4)},
		"{listen: [/ip4/127.0.0.1/udp]}": Record{"listen": List{"/ip4/127.0.0.1/udp"}},
		"10MiB":                          Filesize(10 << 20),
		"10kb":                           Filesize(10_000),
		"-5min":                          Duration(-300e9),
		"[true false null]":              List{true, false, nil},
		`"a\n\"b\\"`:                     "a\n\"b\\",
		"'a\\n'":                         `a\n`,
		"0x[0a FF]":                      Binary{10, 255},
		"1_000":                          int64(1000),
	} {
		got, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", text, d)
		}
	}
	for text, want := range map[string]string{
		"":             "1:1: a value is missing",
		"{a: 1\n b 2}": "2:4: a : is missing behind b",
		"{a: 1, a: 2}": "1:8: a is there twice",
		"[1":           "1:3: a ] is missing",
		"{":            "1:2: a } is missing",
		"1.5":          "1:1: 1.5 is neither a whole number nor one with a unit; quote it if it is text",
		"{} x":         "1:4: something follows the value",
		`"a`:           "1:1: the other quote is missing",
		`"\q"`:         `1:3: \q is not understood`,
		"9999999PiB":   "1:1: 9999999PiB is too large",
		"{a: ]}":       `1:5: ']' is not expected here`,
	} {
		if v, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v; want %s", text, v, err, want)
		}
	}
}

// FuzzParse checks that Parse and Decode agree on canonical text, and that Encode can write what Parse reads.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,"b",0x[00FF],5ns,6b,true,null]}`))
	f.Add([]byte("{a: 1 # c\n b: [x 'y']}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Parse(b)
		want, strict := Decode(b)
		if strict == nil && (err != nil || !cmp.Equal(v, want)) {
			t.Fatalf("%q: got %v, %v; Decode gives %v", b, v, err, want)
		}
		if err != nil {
			return
		}
		text, err := Encode(v)
		if err != nil {
			return // a value that canonical NUON cannot express
		}
		if again, err := Parse(text); err != nil {
			t.Fatalf("%q is written as %q, which does not parse: %v, %v", b, text, again, err)
		}
	})
}
