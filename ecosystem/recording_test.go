package ecosystem

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

func hashOf(s string) pir.Hash {
	sum := blake3.Sum256([]byte(s))
	return pir.NewHash(pir.B3, sum[:])
}

// sample returns a recording with an answer of each sort.
func sample() *Recording {
	return &Recording{Ecosystem: "pip", Door: DoorRegistry, Answers: []Answer{
		{Request: Request{Alias: "pypi", Path: "/gone/"}, Status: 404, Type: "text/plain", Text: "no such project\n"},
		{Request: Request{Alias: "pypi", Path: "/moved/"}, Status: 301, Location: Base + "/pypi/six/"},
		{Request: Request{Alias: "pypi", Path: "/six/", Query: "a=b", Variant: "json"}, Status: 200, Type: "application/json", Text: "{\"a\":\n\"\\\\\"}\n"},
		{Request: Request{Alias: "x0123456789", Path: "/f/six-1.0.tar.gz"}, Status: 200, Type: "application/gzip", Kept: &Kept{
			Hash: hashOf("six"), Size: 3, Package: "six", Version: "1.0", License: "MIT", Released: "2026-01-31", Checked: "pep740", Notice: "yanked: bad wheel",
			Promised: "sha256-" + strings.Repeat("ab", 32), Weak: "sha1:" + strings.Repeat("cd", 20),
			Origin: nuon.Record{"kind": "pypi", "name": "six", "version": "1.0"},
		}},
	}}
}

func TestRecording(t *testing.T) {
	text, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"answers":[
{"request":"pypi /gone/","status":404,"text":"no such project
","type":"text/plain"},
{"location":"http://127.0.0.1:3128/pypi/six/","request":"pypi /moved/","status":301},
{"request":"pypi /six/?a=b json","status":200,"text":"{\"a\":
\"\\\\\"}
","type":"application/json"},
{"file":{"checked":"pep740","hash":"` + hashOf("six").String() + `","license":"MIT","notice":"yanked: bad wheel","origin":{"kind":"pypi","name":"six","version":"1.0"},"package":"six",` +
		`"promised":"sha256-` + strings.Repeat("ab", 32) + `","released":"2026-01-31","size":3b,"version":"1.0","weak":"sha1:` + strings.Repeat("cd", 20) + `"},` +
		`"request":"x0123456789 /f/six-1.0.tar.gz","status":200,"type":"application/gzip"}
],"door":"registry","ecosystem":"pip","recording":1}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	r, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), r, cmp.Comparer(func(a, b pir.Hash) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if v, err := nuon.Parse(text); err != nil {
		t.Errorf("it is no NUON: %v", err)
	} else if n := len(v.(nuon.Record)["answers"].(nuon.List)); n != 4 {
		t.Errorf("NUON with %d answers", n)
	}
	empty := &Recording{Ecosystem: "go", Door: DoorProxy}
	if text, err = empty.Encode(); err != nil {
		t.Fatal(err)
	}
	if r, err = Decode(text); err != nil || len(r.Answers) != 0 {
		t.Errorf("an empty recording: %v, %v", r, err)
	}
}

// TestEdited changes a recording by hand. Each change is an error that names the answer.
func TestEdited(t *testing.T) {
	text, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	hash := hashOf("six").String()
	for _, c := range []struct{ name, old, new, answer string }{
		{"unsorted", `pypi /gone/`, `pypi /zzz/`, "answer 2 (pypi /moved/)"},
		{"two answers to one request", `pypi /moved/`, `pypi /gone/`, "answer 2 (pypi /gone/)"},
		{"traversal", `/f/six`, `/../six`, "answer 4 (x0123456789 /../six"},
		{"escaped traversal", `/f/six`, `/%2e%2E/six`, "answer 4"},
		{"twice escaped traversal", `/f/six`, `/%252e%252e/six`, "answer 4"},
		{"escaped slash before a traversal", `/f/six`, `/f%2F..%2Fsix`, "answer 4"},
		{"dot", `/f/six`, `/./six`, "answer 4"},
		{"backslash", `/f/six`, `/..\\six`, "answer 4"},
		{"escaped backslash", `/f/six`, `/..%5Csix`, "answer 4"},
		{"other host", `/f/six`, `//example.org/six`, "answer 4"},
		{"lower case escape", `/f/six`, `/%2f/six`, "answer 4"},
		{"bad escape", `/f/six`, `/f%/six`, "answer 4"},
		{"header in a request", `/f/six`, "/f\r\nHost: x/six", "answer 4"},
		{"escaped line feed", `/f/six`, `/f%0D%0Asix`, "answer 4"},
		{"NUL", `/f/six`, `/f%00six`, "answer 4"},
		{"header in a type", `text/plain`, "text/plain\r\nX: y", "answer 1"},
		{"header in a location", `:3128/pypi/six/`, ":3128/pypi/six/\nX: y", "answer 2"},
		{"no location", `"location":"http://127.0.0.1:3128/pypi/six/",`, ``, "answer 2"},
		{"alias", `x0123456789 `, `X0123456789 `, "answer 4"},
		{"variant", ` json"`, ` JSON"`, "answer 3"},
		{"empty query", `?a=b json`, `? json`, "answer 3"},
		{"fragment", `?a=b json`, `?a#b json`, "answer 3"},
		{"two spaces", ` json`, `  json`, "answer 3"},
		{"status", `"status":404`, `"status":100`, "answer 1"},
		{"status", `"status":404`, `"status":600`, "answer 1"},
		{"status of a file", `200,"type":"application/gzip"`, `404,"type":"application/gzip"`, "answer 4"},
		{"status as text", `"status":404`, `"status":"404"`, "answer 1"},
		{"huge status", `"status":404`, `"status":18446744073709551816`, "answer 1"},
		{"hash", hash, "b3-aaaa", "answer 4"},
		{"other algorithm", hash, "sha256-" + strings.Repeat("ab", 32), "answer 4"},
		{"promise", "sha256-ab", "sha256-AB", "answer 4"},
		{"weak", "sha1:cd", "sha1:CD", "answer 4"},
		{"size", `"size":3b`, `"size":-3b`, "answer 4"},
		{"size as a number", `"size":3b`, `"size":3`, "answer 4"},
		{"text with a file", `"status":200,"type":"application/gzip"`, `"status":200,"text":"x","type":"application/gzip"`, "answer 4"},
		{"empty text", `"status":301`, `"status":301,"text":""`, "answer 2"},
		{"date", "2026-01-31", "2026-02-31", "answer 4"},
		{"name of two lines", `"package":"six"`, "\"package\":\"six\nseven\"", "answer 4"},
		{"notice of another class", "yanked: bad", "lovely: bad", "answer 4"},
		{"notice of two lines", "bad wheel", "bad\nwheel", "answer 4"},
		{"long notice", "bad wheel", strings.Repeat("bad ", 100), "answer 4"},
		{"origin without kind", `"kind":"pypi",`, ``, "answer 4"},
		{"unknown field", `"status":404`, `"stat":404,"status":404`, "answer 1"},
		{"unknown field of a file", `"size":3b`, `"size":3b,"text":"x"`, "answer 4"},
		{"unsorted fields", `"request":"pypi /gone/","status":404`, `"status":404,"request":"pypi /gone/"`, "answer 1 (pypi /gone/)"},
		{"white space", `"status":404`, `"status": 404`, "answer 1 (pypi /gone/)"},
		{"no comma", "\"type\":\"text/plain\"},\n", "\"type\":\"text/plain\"}\n", "answer 1 (pypi /gone/)"},
		{"no line feed", "\"type\":\"text/plain\"},\n", "\"type\":\"text/plain\"},", "answer 1 (pypi /gone/)"},
		{"escape", `no such`, `no\nsuch`, "answer 1"},
		{"CRLF", ",\n{\"location\"", ",\r\n{\"location\"", "answer 1"},
		{"door", `"door":"registry"`, `"door":"window"`, "door"},
		{"ecosystem", `"ecosystem":"pip"`, `"ecosystem":"../pip"`, "ecosystem"},
		{"format", `"recording":1`, `"recording":2`, "format 2"},
		{"trailing bytes", "\"recording\":1}\n", "\"recording\":1}\n\n", "recording"},
	} {
		edited := strings.Replace(string(text), c.old, c.new, 1)
		if edited == string(text) {
			t.Fatalf("%s: nothing to edit", c.name)
		}
		_, err := Decode([]byte(edited))
		if !errors.Is(err, ErrRecording) || !strings.Contains(err.Error(), c.answer) || !strings.Contains(err.Error(), "record it again: nuka lock") {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.answer)
		}
	}
	for end := range text {
		if _, err := Decode(text[:end]); !errors.Is(err, ErrRecording) {
			t.Fatalf("cut after %d bytes: got %v", end, err)
		}
	}
	if _, err := Decode(make([]byte, MaxRecording+1)); !errors.Is(err, ErrRecording) {
		t.Errorf("too large: got %v", err)
	}
	big := sample()
	big.Answers[0].Text = strings.Repeat("x", MaxRecording)
	if _, err := big.Encode(); err == nil {
		t.Error("Encode writes what Decode refuses: too large")
	}
}

func TestChanges(t *testing.T) {
	of := func(files ...string) *Recording { // NAME VERSION BYTES
		r := &Recording{Ecosystem: "pip", Door: DoorRegistry}
		for i, f := range files {
			part := strings.Fields(f)
			r.Answers = append(r.Answers, Answer{Request: Request{Alias: "pypi", Path: "/" + part[0] + part[1]}, Status: 200,
				Kept: &Kept{Hash: hashOf(part[2]), Package: part[0], Version: part[1], Size: int64(i)}})
		}
		return r
	}
	var got []string
	for _, c := range Changes(of("a 1 x", "b 1 x", "c 1 x", "d 1 x", "e 1 x"), of("b 1 x", "c 2 x", "d 1 y", "e 1 x", "e 2 x", "f 1 x")) {
		got = append(got, c.String())
	}
	want := []string{"- a 1", "~ c 1 -> 2", "~ d 1: other bytes than before", "~ e 1 -> 1, 2", "+ f 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := fmt.Sprint(Changes(nil, of("a 1 x"))); got != "[+ a 1]" {
		t.Errorf("got %s", got)
	}
	if files := of("a 1 x", "b 1 x", "c 1 y").Files(); len(files) != 2 || files[0].Hash.String() > files[1].Hash.String() {
		t.Errorf("got %v", files)
	}
}

func FuzzDecode(f *testing.F) {
	text, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(strings.ReplaceAll(string(text), "/six", "/%2e%2e/six")))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Decode(text)
		if err != nil {
			if !errors.Is(err, ErrRecording) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil || string(again) != string(text) {
			t.Errorf("it is written in another way: %v", err)
		}
		for _, a := range r.Answers {
			if strings.ContainsAny(a.Request.String()+a.Type+a.Location, "\r\n\x00") || strings.Contains(a.Request.Path, "/../") {
				t.Errorf("it accepts %q", a.Request)
			}
		}
	})
}
